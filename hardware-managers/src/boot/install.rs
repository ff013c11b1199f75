//! Making the firmware start what was deployed.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use tacit_blockdev::{Access, Device};

use super::efivars::EfiVars;
use super::entries::{Before, Change, decide};
use super::error::BootEntryError;
use super::esp::{SystemPartition, Table, find};
use super::fat::{Window, guarded};
use super::load_option::LoadOption;
use super::loader::{Loader, choose, firmware_architecture};
use super::partitions::partitions;
use super::replicate::install_on_array;
use super::report::{BootEntryOutcome, BootEntryReport, BootEntryRequest, BootOrderPolicy};
use crate::machine::Machine;
use crate::raid::is_array;

/// Label of an entry for the removable-media path, which says nothing of what it starts.
const DEFAULT_LABEL: &str = "Tacit";

/// Finds the loader on the disk's EFI system partition and puts an entry for it at the head of the boot order.
/// Machines that booted without UEFI are left as they are: there the MBR decides. So are those whose firmware variables
/// are out of reach, where the removable-media path decides, which then has to be there.
///
/// The disk is only read, unless it is an array of software RAID: then every disk of it gets a copy of the EFI
/// system partition, and an entry.
///
/// # Errors
///
/// [`BootEntryError`]; a GPT disk without an EFI system partition on a UEFI machine is one, and so is one whose EFI
/// system partition has nothing that the firmware would start.
pub fn install_boot_entry(
    machine: &Machine,
    disk: &Path,
    request: &BootEntryRequest,
) -> Result<BootEntryReport, BootEntryError> {
    let name = disk.display().to_string();
    if !machine.disks().iter().any(|known| same_device(machine, &known.name, disk)) {
        return Err(BootEntryError::UnknownDisk { disk: name });
    }
    if !machine.is_uefi() {
        return Ok(BootEntryReport::skipped("the machine was not booted by UEFI"));
    }
    let variables = EfiVars::open(&machine.roots().efivars);
    let on_disk = |source| BootEntryError::Disk { disk: name.clone(), source };
    let device = Device::open(&machine.device_node(disk), Access::Read).map_err(on_disk)?;
    let wanted = request.efi_system_part_uuid.as_deref();
    let systems = match find(&device, wanted).map_err(on_disk)? {
        Table::Gpt(systems) if systems.is_empty() => {
            return Err(BootEntryError::NoSystemPartition {
                disk: name,
                wanted: request.efi_system_part_uuid.clone(),
            });
        }
        Table::Mbr(systems) if systems.is_empty() => {
            return Ok(BootEntryReport::skipped("the disk has an MBR without an EFI system partition"));
        }
        Table::Gpt(systems) | Table::Mbr(systems) => systems,
        Table::None => return Ok(BootEntryReport::skipped("the disk has no partition table")),
    };
    let label = request.label.as_deref().unwrap_or(DEFAULT_LABEL);
    let firmware = Firmware { variables, partitions: partitions(machine, &name), order: request.order };
    if is_array(machine, &name) {
        return install_on_array(machine, &firmware, &name, &device, &systems, label);
    }
    let (system, loader) = first_loader(&device, &name, &systems, label)?;
    firmware.enter(&name, &system, &loader)
}

fn same_device(machine: &Machine, known: &str, asked: &Path) -> bool {
    let real = |path: std::path::PathBuf| std::fs::canonicalize(&path).unwrap_or(path);
    Path::new(known) == asked || real(machine.device_node(known)) == real(machine.device_node(asked))
}

/// Where entries are made.
pub(super) struct Firmware {
    /// `None` where they are out of reach.
    variables: Option<EfiVars>,
    /// Unique GUIDs of all partitions of the machine, where all of them are known.
    partitions: Option<BTreeSet<[u8; 16]>>,
    order: BootOrderPolicy,
}

impl Firmware {
    /// Makes the entry. Firmware that takes none starts the file of the removable-media path, which must be there.
    pub(super) fn enter(
        &self,
        disk: &str,
        system: &SystemPartition,
        loader: &Loader,
    ) -> Result<BootEntryReport, BootEntryError> {
        let outcome = self.variables.as_ref().map(|variables| install(variables, self, system, loader));
        let refusal = match outcome {
            None => "firmware variables are out of reach",
            Some(Err(BootEntryError::Variable { source, .. }))
                if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
            {
                "the firmware takes no variables while a system runs"
            }
            Some(outcome) => return outcome,
        };
        match &loader.fallback {
            Some(path) => Ok(BootEntryReport::skipped(format!("{refusal}; it starts {path} by itself"))),
            None => Err(BootEntryError::NoFallback { disk: disk.to_owned(), refusal }),
        }
    }
}

/// The first system partition with something to start.
///
/// # Errors
///
/// [`BootEntryError::NoLoader`], or why it could not be read.
pub(super) fn first_loader(
    device: &Device,
    disk: &str,
    systems: &[SystemPartition],
    label: &str,
) -> Result<(SystemPartition, Loader), BootEntryError> {
    let mut failure = None;
    for system in systems {
        match read_loader(device, system, label) {
            Ok(Some(loader)) => return Ok((system.clone(), loader)),
            Ok(None) => {}
            Err(source) => {
                failure.get_or_insert(BootEntryError::FileSystem {
                    disk: disk.to_owned(),
                    partition: system.drive.partition,
                    source,
                });
            }
        }
    }
    let partition = systems.first().map_or(0, |system| system.drive.partition);
    Err(failure.unwrap_or_else(|| BootEntryError::NoLoader { disk: disk.to_owned(), partition }))
}

fn read_loader(device: &Device, system: &SystemPartition, label: &str) -> io::Result<Option<Loader>> {
    // The volume is tenant content.
    guarded(|| {
        let window = Window::new(device, system.start, system.length);
        let volume = fatfs::FileSystem::new(window, fatfs::FsOptions::new())?;
        choose(&volume.root_dir(), firmware_architecture(std::env::consts::ARCH), label)
    })
}

fn install(
    variables: &EfiVars,
    firmware: &Firmware,
    system: &SystemPartition,
    loader: &Loader,
) -> Result<BootEntryReport, BootEntryError> {
    let ours =
        LoadOption::for_loader(&system.drive, &loader.path, &loader.label).with_options(&loader.options);
    let before = read_state(variables, firmware.partitions.clone())?;
    let change = decide(&before, &ours, firmware.order).ok_or(BootEntryError::NoFreeNumber)?;
    let variable = boot_name(change.number);

    let mut removed = Vec::new();
    for number in &change.remove {
        let name = boot_name(*number);
        let label = label_of(&before, *number);
        variables.remove(&name)?;
        removed.push(format!("{name} {label}"));
    }
    // The entry before the order: an order that names a missing entry is repaired by some firmware in its own way.
    let mut made_room = Vec::new();
    if let Some(option) = &change.write {
        made_room = write_or_make_room(variables, &variable, &option.encode())?;
    }
    if change.order != before.order {
        let bytes: Vec<u8> = change.order.iter().flat_map(|number| number.to_le_bytes()).collect();
        made_room.extend(write_or_make_room(variables, "BootOrder", &bytes)?);
    }
    let (after, mut warnings) = check(variables, &before, &change)?;
    for number in &change.obsolete {
        let name = boot_name(*number);
        let label = label_of(&before, *number);
        match variables.remove(&name) {
            Ok(()) => removed.push(format!("{name} {label}")),
            Err(error) => {
                warnings.push(format!("{name} {label}, of a partition that is gone, stays: {error}"))
            }
        }
    }
    if loader.fallback.is_none() {
        warnings.push(
            "the EFI system partition has no file that firmware starts without an entry: should it lose this one, the \
             machine does not start"
                .to_owned(),
        );
    }
    warnings
        .extend(made_room.iter().map(|name| format!("{name} was removed: the firmware's memory was full")));
    let digits = |order: &[u16]| order.iter().map(|number| format!("{number:04X}")).collect();
    Ok(BootEntryReport {
        outcome: if change.reused { BootEntryOutcome::Reused } else { BootEntryOutcome::Created },
        reason: None,
        entry: Some(variable),
        label: Some(loader.label.clone()),
        loader: Some(loader.path.clone()),
        partition: Some(system.drive.partition),
        removed,
        order_before: digits(&before.order),
        order_after: digits(&after),
        warnings,
    })
}

/// Writes a variable; a full memory is tried again without the kernel's records of its crashes. Their names.
fn write_or_make_room(variables: &EfiVars, name: &str, data: &[u8]) -> Result<Vec<String>, BootEntryError> {
    match variables.write(name, data) {
        Err(BootEntryError::Full { .. }) => {
            let removed = variables.remove_crash_dumps()?;
            variables.write(name, data)?;
            Ok(removed)
        }
        outcome => outcome.map(|()| Vec::new()),
    }
}

pub(super) fn boot_name(number: u16) -> String {
    format!("Boot{number:04X}")
}

fn label_of(before: &Before, number: u16) -> &str {
    before
        .entries
        .iter()
        .find(|(existing, _)| *existing == number)
        .and_then(|(_, entry)| entry.as_ref())
        .map_or("", |entry| entry.description.as_str())
}

fn read_state(variables: &EfiVars, partitions: Option<BTreeSet<[u8; 16]>>) -> Result<Before, BootEntryError> {
    let entries = variables
        .boot_entries()?
        .into_iter()
        .map(|(number, data)| (number, data.and_then(|data| LoadOption::parse(&data))))
        .collect();
    let current = variables.read("BootCurrent")?.and_then(|bytes| numbers(&bytes).first().copied());
    Ok(Before { entries, order: read_order(variables)?, current, partitions })
}

pub(super) fn read_order(variables: &EfiVars) -> Result<Vec<u16>, BootEntryError> {
    Ok(numbers(&variables.read("BootOrder")?.unwrap_or_default()))
}

pub(super) fn numbers(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

/// Reads back what was written. An entry that is gone or different is an error; an order that the firmware arranged
/// otherwise is told, because some firmware has its own mind about it.
fn check(
    variables: &EfiVars,
    before: &Before,
    change: &Change,
) -> Result<(Vec<u16>, Vec<String>), BootEntryError> {
    let variable = boot_name(change.number);
    let found = variables.read(&variable)?.as_deref().and_then(LoadOption::parse);
    let expected = change.write.as_ref().or_else(|| {
        before
            .entries
            .iter()
            .find(|(number, _)| *number == change.number)
            .and_then(|(_, entry)| entry.as_ref())
    });
    if found.is_none() || found.as_ref() != expected {
        return Err(BootEntryError::NotKept { variable });
    }
    let after = read_order(variables)?;
    let mut warnings = Vec::new();
    if !after.contains(&change.number) {
        return Err(BootEntryError::NotKept { variable: "BootOrder".to_owned() });
    }
    if after != change.order {
        warnings.push(format!("the firmware changed BootOrder from {:04X?} to {after:04X?}", change.order));
    }
    for number in change.remove.iter().filter(|number| **number != change.number) {
        if variables.read(&boot_name(*number))?.is_some() {
            warnings.push(format!("the firmware kept {}, which was removed", boot_name(*number)));
        }
    }
    Ok((after, warnings))
}
