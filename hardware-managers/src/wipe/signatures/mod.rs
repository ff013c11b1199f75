//! Where which format puts the bytes that name it.
//!
//! Offsets are those of the formats' own documents or, where there is none, of the code that reads them: the Linux
//! kernel's on-disk headers (ext4, XFS, Btrfs, F2FS, SquashFS, swap, md, bcache, GFS2, OCFS2, DRBD, …), LVM2's label
//! header, the LUKS1 and LUKS2 on-disk format papers, ECMA-119 (ISO 9660), ECMA-167 (UDF), the SNIA DDF paper, the ZFS
//! on-disk specification, the Microsoft FAT, exFAT and NTFS papers, and the UEFI specification for GPT. Copies whose
//! place depends on the file system's own geometry are found by [`follow`](super::follow).

mod arrays;
mod clusters;
mod file_systems;
mod place;
mod tables;
mod volumes;

pub(super) use place::Place;
use place::{at, each, end, end_aligned};

/// A format and the places of its magic bytes.
#[derive(Debug)]
pub(super) struct Signature {
    pub(super) name: &'static str,
    pub(super) magic: &'static [u8],
    pub(super) places: &'static [Place],
    /// A file system that several machines mount at once.
    pub(super) shared: bool,
}

const fn format(name: &'static str, magic: &'static [u8], places: &'static [Place]) -> Signature {
    Signature { name, magic, places, shared: false }
}

const fn shared(name: &'static str, magic: &'static [u8], places: &'static [Place]) -> Signature {
    Signature { name, magic, places, shared: true }
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Every signature that is looked for, and of which nothing may be left.
pub(super) fn all() -> impl Iterator<Item = &'static Signature> {
    [tables::TABLES, file_systems::FILE_SYSTEMS, volumes::VOLUMES, arrays::ARRAYS, clusters::CLUSTERS]
        .into_iter()
        .flatten()
}

/// How many signatures there are.
pub(super) fn count() -> usize {
    all().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str, size: u64) -> Vec<u64> {
        all()
            .filter(|signature| signature.name == name)
            .flat_map(|signature| signature.places)
            .flat_map(|place| place.offsets(size))
            .collect()
    }

    #[test]
    fn places_near_the_end_follow_the_formats_rounding() {
        let size = 10 * MIB + 5 * 512;
        // (sectors & ~127) - 128 for 0.90 and (sectors - 16) & ~7 for 1.0.
        let md = places("md RAID", size);
        assert!(md.contains(&(((size / 512) & !127) - 128).checked_mul(512).unwrap()));
        assert!(md.contains(&(((size / 512 - 16) & !7) * 512)));
        assert!(places("DRBD", size).contains(&((size & !4095) - 4096 + 60)));
        assert!(places("GPT", size).contains(&(size - 512)));
        assert!(places("ZFS", size).contains(&(10 * MIB - 512 * KIB + 128 * KIB)));
        // libblkid counts whole sectors, the kernel whole blocks.
        let nilfs = places("NILFS2", size);
        assert!(nilfs.contains(&(size - 4096 + 6)) && nilfs.contains(&((size & !4095) - 4096 + 6)));
    }

    #[test]
    fn copies_far_away_are_known() {
        assert!(places("Btrfs", 1 << 40).contains(&(256 * GIB + 64)));
        assert!(places("BlueStore", 2 << 40).contains(&(1000 * GIB)));
        assert!(places("OCFS2", 2 << 40).contains(&(1 << 40)));
        assert!(places("bcachefs", 1 << 40).contains(&((1 << 40) - MIB + 24)));
    }

    #[test]
    fn small_regions_have_no_places_before_their_start() {
        for signature in all() {
            for place in signature.places {
                for size in [0, 1, 511, 512, 4096, 65536] {
                    assert!(place.offsets(size).all(|offset| offset < 1 << 60), "{}", signature.name);
                }
            }
        }
    }
}
