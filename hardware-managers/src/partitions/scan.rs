use tacit_blockdev::{Device, Error};

use super::{gpt, labels, mbr};

/// Most partitions that are looked at on one disk.
pub(super) const MAX_PARTITIONS: usize = 1024;

/// How deep tables within partitions are followed.
const MAX_DEPTH: usize = 3;

/// Where a table lies: a disk, or a partition that holds a table of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    /// Bytes from the start of the disk.
    pub(super) start: u64,
    pub(super) length: u64,
}

impl Area {
    pub(super) fn whole(device: &Device) -> Self {
        Self { start: 0, length: device.size_bytes() }
    }

    /// The offset on the disk of a range within the area; `None` where it is not within.
    pub(super) fn absolute(self, offset: u64, length: u64) -> Option<u64> {
        let end = offset.checked_add(length)?;
        (end <= self.length).then(|| self.start + offset)
    }
}

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
    /// A slice of a BSD, Solaris, SGI, Sun or Apple label, with that label's own number for its type.
    Slice {
        label: &'static str,
        tag: u32,
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
    pub(super) fn add_partition(&mut self, area: Area, sector: u64, mut found: Partition) {
        let (Some(start), Some(length)) =
            (found.start_lba.checked_mul(sector), found.sectors.checked_mul(sector))
        else {
            return;
        };
        if start == 0 || length == 0 || start >= area.length || self.partitions.len() >= MAX_PARTITIONS {
            return;
        }
        found.start = area.start + start;
        found.length = length.min(area.length - start);
        if !self.partitions.iter().any(|known| (known.start, known.length) == (found.start, found.length)) {
            self.partitions.push(found);
        }
    }

    pub(super) fn add_structure(&mut self, area: Area, name: &'static str, offset: u64, length: u64) {
        if offset < area.length && length > 0 {
            let length = length.min(area.length - offset);
            let found = Structure { name, offset: area.start + offset, length };
            if !self.structures.contains(&found) {
                self.structures.push(found);
            }
        }
    }
}

/// Finds every table and partition, also those of damaged or second tables: what is to be destroyed need not be
/// valid. Both common sector sizes are tried, because a disk may have changed its own.
pub(crate) fn scan(device: &Device) -> Result<Scan, Error> {
    let mut found = Scan::default();
    scan_area(device, Area::whole(device), &mut found)?;
    Ok(found)
}

/// The same, and also the labels of other systems, and tables within partitions: slices, images of whole disks.
pub(crate) fn scan_nested(device: &Device) -> Result<Scan, Error> {
    let mut found = scan(device)?;
    labels::scan(device, Area::whole(device), &mut found)?;
    let mut from = 0;
    for _ in 0..MAX_DEPTH {
        let to = found.partitions.len();
        for at in from..to {
            let area = Area { start: found.partitions[at].start, length: found.partitions[at].length };
            scan_area(device, area, &mut found)?;
            labels::scan(device, area, &mut found)?;
        }
        from = to;
    }
    Ok(found)
}

fn scan_area(device: &Device, area: Area, found: &mut Scan) -> Result<(), Error> {
    let logical = u64::from(device.logical_sector());
    for sector in [logical, 512, 4096]
        .into_iter()
        .enumerate()
        .filter_map(|(at, sector)| (at == 0 || sector != logical).then_some(sector))
    {
        gpt::scan(device, area, sector, found)?;
    }
    mbr::scan(device, area, logical, found)
}
