//! Superblocks of XFS allocation groups ("XFS Algorithms & Data Structures", 13.1).

use std::collections::BTreeSet;

use tacit_blockdev::Error;

use super::MOST;
use super::fields::be32;
use crate::wipe::probe::{Found, Reader};

const MAGIC: &[u8] = b"XFSB";
/// The smallest group that mkfs makes.
const SMALLEST: u64 = 16 << 20;
/// The largest that there can be.
const LARGEST: u64 = 1 << 40;

/// Bytes of an allocation group, by a superblock.
fn group(block: &[u8]) -> Option<u64> {
    let (size, blocks) = (be32(block, 4), be32(block, 84));
    let sound = block.starts_with(MAGIC) && size.is_power_of_two() && (512..=65536).contains(&size);
    // Below the kernel's own minimum of 64 blocks, it is none.
    (sound && blocks >= 64).then(|| size * blocks)
}

/// Sizes of groups that mkfs chooses without further wishes: the volume in 4, 8, 16 or 32 parts, or of 1 TiB.
fn usual(length: u64) -> impl Iterator<Item = u64> {
    [512_u64, 1024, 2048, 4096, 65536].into_iter().flat_map(move |block| {
        let blocks = length / block;
        (2..=5).map(move |shift| blocks.div_ceil(1 << shift) * block)
    })
}

/// Backups that the primary tells of, and those of the usual geometries, which are there after it was overwritten.
pub(super) fn copies(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    let length = reader.length();
    let mut sizes: BTreeSet<u64> = BTreeSet::from([LARGEST]);
    sizes.extend(usual(length).filter(|size| (SMALLEST..=LARGEST).contains(size)));
    let mut told = BTreeSet::new();
    if let Some(primary) = reader.bytes(0, 128)? {
        told.extend(group(&primary));
    }
    // The first backup of a usual geometry is enough to know it by.
    for size in sizes {
        if let Some(block) = reader.bytes(size, 128)? {
            told.extend(group(&block));
        }
    }
    for size in told {
        for number in (1..).take(MOST) {
            let Some(offset) = size.checked_mul(number).filter(|at| *at < length) else { break };
            if reader.holds(offset, MAGIC)? {
                found.push(reader.found("XFS backup superblock", offset, 512, false));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_s_numbers_are_not_trusted() {
        let block = |size: u32, blocks: u32| {
            let mut block = vec![0_u8; 128];
            block[..4].copy_from_slice(MAGIC);
            block[4..8].copy_from_slice(&size.to_be_bytes());
            block[84..88].copy_from_slice(&blocks.to_be_bytes());
            block
        };
        assert_eq!(group(&block(4096, 4096)), Some(16 << 20));
        for (size, blocks) in [(0, 4096), (4095, 4096), (1 << 31, 4096), (4096, 0), (4096, 63)] {
            assert_eq!(group(&block(size, blocks)), None, "{size} {blocks}");
        }
        assert_eq!(group(&[]), None);
    }
}
