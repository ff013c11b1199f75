use tacit_blockdev::{Device, Error};

use super::{gpt, mbr};

/// Most partitions that are looked at on one disk.
pub(super) const MAX_PARTITIONS: usize = 1024;

/// One partition; it lies wholly within its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Partition {
    /// As the kernel would number it.
    pub(crate) number: u32,
    /// Bytes from the start of the disk.
    pub(crate) start: u64,
    /// Bytes.
    pub(crate) length: u64,
    /// In logical sectors, as the table has it.
    pub(crate) start_lba: u64,
    pub(crate) sectors: u64,
    pub(crate) kind: PartitionKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartitionKind {
    /// Type and unique GUID in the mixed-endian order of the disk.
    Gpt {
        type_guid: [u8; 16],
        unique_guid: [u8; 16],
    },
    Mbr {
        type_byte: u8,
    },
}

/// A part of a partition table itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    pub(crate) name: &'static str,
    /// Bytes from the start of the disk.
    pub(crate) offset: u64,
    /// Bytes; the structure lies wholly within the disk.
    pub(crate) length: u64,
}

/// All that partition tables of any kind say about a disk, valid or damaged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scan {
    pub(crate) partitions: Vec<Partition>,
    pub(crate) structures: Vec<Structure>,
}

impl Scan {
    pub(super) fn add_partition(&mut self, disk_size: u64, sector: u64, mut found: Partition) {
        let (Some(start), Some(length)) =
            (found.start_lba.checked_mul(sector), found.sectors.checked_mul(sector))
        else {
            return;
        };
        if start == 0 || length == 0 || start >= disk_size || self.partitions.len() >= MAX_PARTITIONS {
            return;
        }
        found.start = start;
        found.length = length.min(disk_size - start);
        if !self.partitions.iter().any(|known| (known.start, known.length) == (found.start, found.length)) {
            self.partitions.push(found);
        }
    }

    pub(super) fn add_structure(&mut self, disk_size: u64, name: &'static str, offset: u64, length: u64) {
        if offset < disk_size && length > 0 {
            let found = Structure { name, offset, length: length.min(disk_size - offset) };
            if !self.structures.contains(&found) {
                self.structures.push(found);
            }
        }
    }
}

/// Finds every table and partition, also those of damaged or second tables: what is to be destroyed need not be
/// valid. Both common sector sizes are tried, because a disk may have changed its own.
pub(crate) fn scan(device: &Device) -> Result<Scan, Error> {
    let logical = u64::from(device.logical_sector());
    let mut found = Scan::default();
    for sector in [logical, 512, 4096]
        .into_iter()
        .enumerate()
        .filter_map(|(at, sector)| (at == 0 || sector != logical).then_some(sector))
    {
        gpt::scan(device, sector, &mut found)?;
    }
    mbr::scan(device, logical, &mut found)?;
    Ok(found)
}
