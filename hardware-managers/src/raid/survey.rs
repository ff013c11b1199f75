//! What is on a disk before anything is done to it, and what speaks against doing it.

use std::path::PathBuf;

use tacit_blockdev::{Access, AlignedBuf, Device, Error, HeldBy, holders};
use tacit_model::BlockDevice;

use super::arrays::is_read_only;
use super::superblock::{self, Superblock};
use crate::machine::Machine;
use crate::partitions::{Partition, Structure, scan};
use crate::wipe::{SkipList, listed};

/// How much at each end of a region is zeroed: every format that names its content does so there.
const EDGE: u64 = 1 << 20;

/// A disk with its tables and superblocks.
pub(super) struct Survey {
    pub(super) disk: BlockDevice,
    pub(super) node: PathBuf,
    pub(super) sector: u64,
    pub(super) size: u64,
    pub(super) partitions: Vec<Partition>,
    structures: Vec<Structure>,
    pub(super) superblocks: Vec<Superblock>,
}

/// The disks that may be members, and those that the skip list names.
pub(super) struct Disks {
    pub(super) usable: Vec<BlockDevice>,
    pub(super) skipped: Vec<BlockDevice>,
    /// Those that take no writes or are no plain disks: nothing can be taken off them.
    pub(super) out_of_reach: Vec<BlockDevice>,
    /// Names of all disks, arrays and mapped devices that exist for this machine.
    seen: Vec<String>,
}

impl Disks {
    /// Whether a device is one of this machine's: an allow-list may hide others, with the arrays on them.
    pub(super) fn has(&self, device: &str) -> bool {
        device.starts_with("/dev/md") || self.seen.iter().any(|name| name == device)
    }

    /// Whether nothing can be taken off a device: it takes no writes, or is no plain disk.
    pub(super) fn is_out_of_reach(&self, device: &str) -> bool {
        !device.starts_with("/dev/md") && !self.usable.iter().any(|disk| disk.name == device)
    }
}

/// Arrays and mapped devices are no members, nor are disks that take no writes.
pub(super) fn disks(machine: &Machine, skip: &SkipList) -> Disks {
    let all = machine.disks();
    let seen = all.iter().map(|disk| disk.name.clone()).collect();
    let plain = all.into_iter().filter(|disk| !disk.name.starts_with("/dev/md"));
    let (skipped, rest): (Vec<_>, Vec<_>) = plain.partition(|disk| listed(machine, skip, disk));
    let is_usable =
        |disk: &BlockDevice| !disk.name.starts_with("/dev/dm-") && !is_read_only(machine, &disk.name);
    let (usable, out_of_reach) = rest.into_iter().partition(is_usable);
    Disks { usable, skipped, out_of_reach, seen }
}

impl Survey {
    /// # Errors
    ///
    /// Those of opening and reading.
    pub(super) fn make(machine: &Machine, disk: &BlockDevice) -> Result<Self, Error> {
        let node = machine.device_node(&disk.name);
        let device = Device::open(&node, Access::Read)?;
        let tables = scan(&device)?;
        let mut survey = Self {
            disk: disk.clone(),
            sector: u64::from(device.logical_sector()),
            size: device.size_bytes(),
            partitions: tables.partitions,
            structures: tables.structures,
            superblocks: Vec::new(),
            node,
        };
        for (start, length) in survey.regions() {
            for found in superblock::find(&device, start, length)? {
                if !survey.superblocks.iter().any(|known| known.offset == found.offset) {
                    survey.superblocks.push(found);
                }
            }
        }
        Ok(survey)
    }

    /// Partitions, then the disk itself: start and length.
    fn regions(&self) -> Vec<(u64, u64)> {
        let parts = self.partitions.iter().map(|part| (part.start, part.length));
        parts.chain([(0, self.size)]).collect()
    }

    /// Who uses the disk or a partition of it, but for these arrays.
    ///
    /// # Errors
    ///
    /// Those of the kernel's lists.
    pub(super) fn users(&self, but_for: &[&str]) -> Result<Vec<String>, Error> {
        let expected = |by: &HeldBy| matches!(by, HeldBy::Device(path) if but_for.iter().any(|array| path.as_os_str() == *array));
        Ok(holders(&self.node)?
            .iter()
            .filter(|holder| !expected(&holder.by))
            .map(ToString::to_string)
            .collect())
    }

    /// Removes superblocks, tables and whatever names the content of a partition; what was done, in words.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub(super) fn clear(&self, device: &Device) -> Result<Vec<String>, Error> {
        let mut actions = Vec::new();
        for found in &self.superblocks {
            superblock::zero(device, found)?;
            let name = found.name.as_deref().unwrap_or("an array without a name");
            actions
                .push(format!("md superblock {} of {name} at offset {} zeroed", found.version, found.offset));
        }
        for (start, length) in self.regions() {
            zero_edges(device, start, length)?;
        }
        for part in &self.structures {
            device.zero(part.offset, part.length)?;
            actions.push(format!("{} at offset {} zeroed", part.name, part.offset));
        }
        device.flush()?;
        let count = self.partitions.len();
        actions.push(format!("first and last MiB of the disk and of its {count} partitions zeroed"));
        Ok(actions)
    }

    /// Looks again, through a device opened anew, at what [`Survey::clear`] removed; what is left, in words.
    ///
    /// # Errors
    ///
    /// Those of reading.
    pub(super) fn left(&self, machine: &Machine) -> Result<Vec<String>, Error> {
        let now = Self::make(machine, &self.disk)?;
        let mut left: Vec<String> = now
            .superblocks
            .iter()
            .map(|found| {
                format!("md superblock {} at offset {} of {}", found.version, found.offset, self.disk.name)
            })
            .chain(now.structures.iter().map(|part| format!("{} of {}", part.name, self.disk.name)))
            .collect();
        let device = Device::open(&self.node, Access::Read)?;
        for (start, length) in self.regions() {
            for superblock in superblock::find(&device, start, length)? {
                left.push(format!("md superblock at offset {} of {}", superblock.offset, self.disk.name));
            }
            for (offset, length) in edges(start, length) {
                if !reads_as_zeros(&device, offset, length)? {
                    left.push(format!("{length} bytes at offset {offset} of {}", self.disk.name));
                }
            }
        }
        left.dedup();
        Ok(left)
    }
}

/// Both ends of a region: offset and length.
fn edges(start: u64, length: u64) -> [(u64, u64); 2] {
    let edge = EDGE.min(length);
    [(start, edge), (start + length - edge, edge)]
}

/// # Errors
///
/// Those of writing.
pub(super) fn zero_edges(device: &Device, start: u64, length: u64) -> Result<(), Error> {
    for (offset, length) in edges(start, length) {
        device.zero(offset, length)?;
    }
    Ok(())
}

/// Whether a range of at most a MiB reads as zeros.
///
/// # Errors
///
/// Those of reading.
pub(super) fn reads_as_zeros(device: &Device, offset: u64, length: u64) -> Result<bool, Error> {
    let mut buffer = AlignedBuf::new(usize::try_from(length).expect("an edge at most"));
    device.read_at(offset, &mut buffer)?;
    Ok(buffer.iter().all(|byte| *byte == 0))
}
