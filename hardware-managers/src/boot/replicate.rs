//! Boot entries for a system on software RAID: its EFI system partition lies within the array, where no firmware
//! finds it, so that each disk gets a copy and an entry of its own (IPA contract §5.6, boot contract §G.3).

use std::path::Path;

use tacit_blockdev::{Access, AlignedBuf, Device};

use super::copy::{Volume, are_equal, copy};
use super::error::BootEntryError;
use super::esp::{SystemPartition, of_partition};
use super::install::{Firmware, first_loader};
use super::report::BootEntryReport;
use crate::machine::Machine;
use crate::raid::{Replicas, replicas, settle};

/// By which a FAT file system is recognised: boot sector, its backup, and what lies between.
const HEAD: u64 = 32 << 10;

/// Copies the partition to every disk of the array, proves each copy by reading it from its disk, takes the original
/// out of sight, and makes the entries: that of the first disk comes first.
///
/// # Errors
///
/// [`BootEntryError::Begun`] when something may have been written by then.
pub(super) fn install_on_array(
    machine: &Machine,
    firmware: &Firmware,
    array: &str,
    device: &Device,
    systems: &[SystemPartition],
    label: &str,
) -> Result<BootEntryReport, BootEntryError> {
    let mut touched = false;
    copy_and_enter(machine, firmware, array, device, systems, label, &mut touched).map_err(|error| {
        if touched {
            BootEntryError::Begun { disk: array.to_owned(), source: Box::new(error) }
        } else {
            error
        }
    })
}

fn copy_and_enter(
    machine: &Machine,
    firmware: &Firmware,
    array: &str,
    device: &Device,
    systems: &[SystemPartition],
    label: &str,
    touched: &mut bool,
) -> Result<BootEntryReport, BootEntryError> {
    let failed = |problem: String| BootEntryError::Replicas { disk: array.to_owned(), problem };
    let on_disk = |disk: &str| {
        let disk = disk.to_owned();
        move |source| BootEntryError::Disk { disk, source }
    };
    let Some(source) = systems.first() else {
        return Err(BootEntryError::NoSystemPartition { disk: array.to_owned(), wanted: None });
    };
    // A second run finds the original gone and the copies in place.
    let is_copied = is_blank(device, source).map_err(on_disk(array))?;
    if !is_copied {
        // What starts nothing need not be copied.
        first_loader(device, array, std::slice::from_ref(source), label)?;
    }
    let found = replicas(machine, array, touched).map_err(failed)?;
    if !is_copied {
        *touched = true;
        replicate(machine, array, device, source, &found)?;
    }
    let mut reports = Vec::new();
    for (number, place) in found.places.iter().enumerate().rev() {
        let system =
            of_partition(&place.partition).ok_or_else(|| failed(format!("{} has no GPT", place.disk)))?;
        let copy = Device::open(&place.node, Access::Read).map_err(on_disk(&place.disk))?;
        let (system, mut loader) = first_loader(&copy, &place.disk, &[system], label)?;
        loader.label = format!("{} (RAID, part{number})", loader.label);
        reports.push(firmware.enter(&place.disk, &system, &loader)?);
    }
    let before = reports.first().map(|report| report.order_before.clone()).unwrap_or_default();
    let removed = reports.iter().flat_map(|report| report.removed.clone()).collect();
    let warnings = reports.iter().flat_map(|report| report.warnings.clone()).collect();
    let last = reports.pop().ok_or_else(|| failed("it has no members".to_owned()))?;
    Ok(BootEntryReport { order_before: before, removed, warnings, ..last })
}

fn replicate(
    machine: &Machine,
    array: &str,
    device: &Device,
    source: &SystemPartition,
    found: &Replicas,
) -> Result<(), BootEntryError> {
    let failed = |problem: String| BootEntryError::Replicas { disk: array.to_owned(), problem };
    let original = Volume { device, start: source.start, length: source.length };
    {
        let target = Device::open(&machine.device_node(&found.array), Access::Exclusive)
            .map_err(|source| BootEntryError::Disk { disk: found.array.clone(), source })?;
        let whole = Volume { device: &target, start: 0, length: target.size_bytes() };
        copy(original, whole).map_err(|error| failed(error.to_string()))?;
    }
    settle(machine, &found.array).map_err(failed)?;
    for place in &found.places {
        let failed_at = |source| BootEntryError::Disk { disk: place.disk.clone(), source };
        let disk = Device::open(&place.node, Access::Read).map_err(failed_at)?;
        let part = &place.partition;
        let replica = Volume { device: &disk, start: part.start, length: part.length };
        if !are_equal(original, replica).map_err(|error| failed(format!("{}: {error}", place.disk)))? {
            return Err(failed(format!("the copy on {} is not what was copied", place.disk)));
        }
    }
    // Two file systems of the same number: the system would have to guess which one it keeps up to date.
    let on_array = |source| BootEntryError::Disk { disk: array.to_owned(), source };
    let writable = Device::open(device.path(), Access::ReadWrite).map_err(on_array)?;
    writable.zero(source.start, HEAD.min(source.length)).map_err(on_array)?;
    writable.flush().map_err(on_array)?;
    if is_blank(&Device::open(Path::new(device.path()), Access::Read).map_err(on_array)?, source)
        .map_err(on_array)?
    {
        Ok(())
    } else {
        Err(failed("the original could not be taken out of sight".to_owned()))
    }
}

fn is_blank(device: &Device, system: &SystemPartition) -> Result<bool, tacit_blockdev::Error> {
    let mut head = AlignedBuf::new(usize::try_from(HEAD.min(system.length)).expect("a few blocks"));
    device.read_at(system.start, &mut head)?;
    Ok(head.iter().all(|byte| *byte == 0))
}
