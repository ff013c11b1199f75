use std::collections::BTreeSet;
use std::io;

use tacit_blockdev::{Device, Error};

use super::{gpt, labels, mbr};

/// Most partitions that are looked at on one disk.
pub(super) const MAX_PARTITIONS: usize = 1024;

/// Most tables and links of tables that are met on one disk, each time that one is met: partitions may lie within each
/// other and lead to the same tables again. A thousand partitions, each with a whole GPT disk in it, need five times a
/// thousand.
const MAX_MET: usize = 8192;

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
    known_partitions: BTreeSet<(u64, u64)>,
    known_structures: BTreeSet<(u64, u64, &'static str)>,
    /// Structures that were met, the known ones each time again.
    met: usize,
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
        if self.known_partitions.insert((found.start, found.length)) {
            self.partitions.push(found);
        }
    }

    pub(super) fn add_structure(&mut self, area: Area, name: &'static str, offset: u64, length: u64) {
        if offset < area.length && length > 0 {
            let length = length.min(area.length - offset);
            let found = Structure { name, offset: area.start + offset, length };
            self.met += 1;
            if self.known_structures.insert((found.offset, found.length, name)) {
                self.structures.push(found);
            }
        }
    }

    /// Whether there are more tables than can be looked at. Nobody looks on then.
    pub(super) fn is_full(&self) -> bool {
        self.met > MAX_MET
    }

    /// # Errors
    ///
    /// [`Error::Read`] when it is full: what is not known to the end is not known to be gone later on.
    fn complete(self, device: &Device) -> Result<Self, Error> {
        if !self.is_full() {
            return Ok(self);
        }
        Err(Error::Read {
            device: device.path().to_owned(),
            offset: 0,
            length: device.size_bytes(),
            source: io::Error::other(
                "partition tables on it lead to more tables than can be looked at; erase it as a whole",
            ),
        })
    }
}

/// Finds every table and partition, also those of damaged or second tables: what is to be destroyed need not be
/// valid. Both common sector sizes are tried, because a disk may have changed its own.
///
/// # Errors
///
/// [`Error::Read`], also for more tables than can be looked at.
pub(crate) fn scan(device: &Device) -> Result<Scan, Error> {
    let mut found = Scan::default();
    scan_area(device, Area::whole(device), &mut found)?;
    found.complete(device)
}

/// The same, and also the labels of other systems, and tables within partitions: slices, images of whole disks.
///
/// # Errors
///
/// As [`scan`].
pub(crate) fn scan_nested(device: &Device) -> Result<Scan, Error> {
    let mut found = scan(device)?;
    labels::scan(device, Area::whole(device), &mut found)?;
    let mut from = 0;
    for _ in 0..MAX_DEPTH {
        let to = found.partitions.len();
        for at in from..to {
            if found.is_full() {
                break;
            }
            let area = Area { start: found.partitions[at].start, length: found.partitions[at].length };
            scan_area(device, area, &mut found)?;
            labels::scan(device, area, &mut found)?;
        }
        from = to;
    }
    found.complete(device)
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use tacit_blockdev::Access;

    use super::*;

    /// A boot record with four entries of the same kind.
    fn record(entries: [(u8, u32, u32); 4]) -> [u8; 512] {
        let mut sector = [0; 512];
        for ((kind, start, sectors), entry) in entries.into_iter().zip(sector[446..510].chunks_exact_mut(16))
        {
            entry[4] = kind;
            entry[8..12].copy_from_slice(&start.to_le_bytes());
            entry[12..16].copy_from_slice(&sectors.to_le_bytes());
        }
        sector[510..].copy_from_slice(&[0x55, 0xaa]);
        sector
    }

    #[test]
    fn tables_that_lead_to_each_other_again_and_again_are_not_followed_for_ever() {
        const CHAIN: u32 = 4096;
        const LINKS: u32 = 1000;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let file = File::create(&path).unwrap();
        file.set_len(64 << 20).unwrap();
        let open = || Device::open(&path, Access::Read).unwrap();
        let put = |sector: u32, block: &[u8]| file.write_all_at(block, u64::from(sector) * 512).unwrap();
        // One chain of extended records: a single partition's share.
        put(0, &record([(0x05, CHAIN, 90_000), (0, 0, 0), (0, 0, 0), (0, 0, 0)]));
        for link in 0..LINKS {
            let next = if link + 1 < LINKS { (0x05, link + 1, 1) } else { (0, 0, 0) };
            put(CHAIN + link, &record([(0x83, LINKS + link, 1), next, (0, 0, 0), (0, 0, 0)]));
        }
        let plain = scan_nested(&open()).unwrap();
        assert_eq!(plain.structures.len(), 1 + LINKS as usize);
        assert_eq!(plain.partitions.len(), LINKS as usize);
        // Partitions at the head of the disk, each of which leads into that chain four times.
        let within = |start: u32| record([(0x05, CHAIN - start, 90_000); 4]);
        put(0, &record([(0x83, 1, 90_000), (0x83, 2, 90_000), (0x83, 3, 90_000), (0x83, 4, 90_000)]));
        for start in 1..=4 {
            put(start, &within(start));
        }
        let error = scan_nested(&open()).unwrap_err();
        let reason = std::error::Error::source(&error).unwrap().to_string();
        assert!(reason.contains("erase it as a whole"), "{reason}");
    }
}
