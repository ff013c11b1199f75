//! Backup superblocks of ext2, ext3 and ext4 (kernel documentation, "ext4 Data Structures and Algorithms", 4.1).

use std::collections::BTreeSet;

use tacit_blockdev::Error;

use super::MOST;
use super::fields::{le16, le32};
use crate::wipe::probe::{Found, Reader};

const PRIMARY: u64 = 1024;
const LENGTH: usize = 1024;
/// Backups only in groups 1 and the powers of 3, 5 and 7.
const SPARSE_SUPER: u64 = 0x1;
/// Backups only in the two groups that the superblock names.
const SPARSE_SUPER2: u64 = 0x200;

/// What says where backups are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Geometry {
    block: u64,
    /// Number of the first block of the first group.
    first: u64,
    per_group: u64,
    groups: Groups,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Groups {
    Sparse,
    All,
    These([u64; 2]),
}

impl Geometry {
    fn read(block: &[u8]) -> Option<Self> {
        let (log, per_group) = (le32(block, 24), le32(block, 32));
        if le16(block, 56) != 0xef53 || log > 6 || per_group == 0 || le32(block, 76) > 1 {
            return None;
        }
        let groups = if le32(block, 92) & SPARSE_SUPER2 != 0 {
            Groups::These([le32(block, 588), le32(block, 592)])
        } else if le32(block, 100) & SPARSE_SUPER != 0 {
            Groups::Sparse
        } else {
            Groups::All
        };
        Some(Self { block: 1024 << log, first: le32(block, 20), per_group, groups })
    }

    /// What mkfs makes without further wishes, for a block size.
    fn usual(block: u64) -> Self {
        Self {
            block,
            first: u64::from(block == 1024),
            // A bitmap of one block tells about a group; the count has to fit sixteen bits.
            per_group: (8 * block).min(65528),
            groups: Groups::Sparse,
        }
    }

    /// Offsets of the backups in a region of this length.
    fn places(self, length: u64) -> Vec<u64> {
        let group = self.per_group * self.block;
        let count = length / group + 1;
        let numbers: Vec<u64> = match self.groups {
            Groups::All => (1..count).take(MOST).collect(),
            Groups::These(numbers) => numbers.to_vec(),
            Groups::Sparse => {
                let mut numbers = BTreeSet::from([1]);
                for base in [3_u64, 5, 7] {
                    let powers = std::iter::successors(Some(base), |power| power.checked_mul(base));
                    numbers.extend(powers.take_while(|power| *power < count));
                }
                numbers.into_iter().collect()
            }
        };
        let place = |number: u64| number.checked_mul(group)?.checked_add(self.first * self.block);
        numbers.into_iter().filter_map(place).filter(|at| *at > 0 && *at < length).collect()
    }
}

/// Backups that the primary tells of, and those of the usual geometries, which are there after it was overwritten.
pub(super) fn copies(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    let length = reader.length();
    let mut known: BTreeSet<Geometry> = [0, 1, 2, 3, 4, 5, 6].map(|log| Geometry::usual(1024 << log)).into();
    // Groups of 65536 blocks less one byte of a bitmap are what newer tools make of large blocks; older ones more.
    known.extend(
        [8192_u64, 16384, 65536].map(|block| Geometry { per_group: 8 * block, ..Geometry::usual(block) }),
    );
    if let Some(primary) = reader.bytes(PRIMARY, LENGTH)? {
        known.extend(Geometry::read(&primary));
    }
    let mut left: Vec<Geometry> = known.iter().copied().collect();
    let mut seen = BTreeSet::new();
    while let Some(geometry) = left.pop() {
        for offset in geometry.places(length) {
            if !seen.insert(offset) {
                continue;
            }
            let Some(block) = reader.bytes(offset, LENGTH)? else { continue };
            let Some(told) = Geometry::read(&block) else { continue };
            found.push(reader.found("ext2/3/4 backup superblock", offset, LENGTH as u64, false));
            if known.len() < 64 && known.insert(told) {
                left.push(told);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_are_where_the_tools_look_for_them() {
        // What e2fsck's manual tells to try: 8193, 16384 and 32768.
        for (block, first) in [(1024, 8193), (2048, 16384), (4096, 32768)] {
            assert_eq!(Geometry::usual(block).places(1 << 40)[0], first * block);
        }
        let sparse = Geometry::usual(4096).places(10 << 30);
        let groups: Vec<u64> = sparse.iter().map(|at| at / (128 << 20)).collect();
        assert_eq!(groups, [1, 3, 5, 7, 9, 25, 27, 49]);
    }

    #[test]
    fn a_superblock_s_numbers_are_not_trusted() {
        let mut block = vec![0_u8; LENGTH];
        block[56..58].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(Geometry::read(&block), None, "no blocks in a group");
        block[32..36].copy_from_slice(&1_u32.to_le_bytes());
        let all = Geometry::read(&block).unwrap();
        assert_eq!((all.groups, all.places(1 << 50).len()), (Groups::All, MOST));
        block[92..96].copy_from_slice(&0x200_u32.to_le_bytes());
        block[588..596].fill(0xff);
        assert_eq!(Geometry::read(&block).unwrap().places(1 << 30), [] as [u64; 0]);
        block[24] = 7;
        assert_eq!(Geometry::read(&block), None, "blocks of 128 KiB");
    }
}
