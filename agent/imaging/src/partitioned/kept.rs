//! The ephemeral partition that is there already and shall stay.

use std::ops::Range;

use crate::partitioned::LayoutError;
use crate::table::{Table, TableError};
use crate::target::{Target, TargetError};

/// Largest table that is looked at, from the start of the disk, in bytes.
const HEAD: u64 = 1 << 20;
const LABEL: &[u8] = b"ephemeral0";

/// The GUID, if it has one, of the partition that is exactly there.
///
/// A disk without any table is one on which writing was interrupted, because the table comes last: there, a file
/// system with the label of ephemeral partitions that begins at that place and fills it is proof enough.
pub(super) fn find(range: &Range<u64>, target: &dyn Target) -> Result<Option<[u8; 16]>, LayoutError> {
    let sector = target.logical_sector();
    let mut head = vec![0; HEAD.min(target.size_bytes()) as usize];
    target.read_at(0, &mut head)?;
    let bytes = range.end - range.start;
    let present = match Table::inspect(&head, sector, target.size_bytes() / u64::from(sector)) {
        Ok(table) => table,
        Err(TableError::NoPartitions) if is_labelled(range, target)? => return Ok(None),
        Err(source) => return Err(LayoutError::NothingToPreserve { source }),
    };
    let sector = u64::from(sector);
    let found = present.partitions().into_iter().find(|partition| {
        partition.start_lba.checked_mul(sector) == Some(range.start)
            && partition.size_lba.checked_mul(sector) == Some(bytes)
    });
    match found {
        Some(partition) => Ok(present.gpt.as_ref().and_then(|gpt| gpt.guid(partition.number))),
        None => Err(LayoutError::EphemeralMoved { start: range.start, bytes }),
    }
}

/// Whether an ext or FAT file system labelled `ephemeral0` fills the range but for less than a MiB, or, ext, four:
/// a group that would hold little but its own tables is not made.
fn is_labelled(range: &Range<u64>, target: &dyn Target) -> Result<bool, TargetError> {
    const SMALL_GROUP: u64 = 4 << 20;
    let mut head = [0; 2048];
    if range.end > target.size_bytes() {
        return Ok(false);
    }
    target.read_at(range.start, &mut head)?;
    let short = |at: usize| u64::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let long = |at: usize| short(at) | short(at + 2) << 16;
    let (size, slack) = if head[1080..1082] == [0x53, 0xef] && head[1144..].starts_with(LABEL) {
        const MANY_BLOCKS: u64 = 0x80;
        let high = if long(1024 + 0x60) & MANY_BLOCKS != 0 { long(1024 + 0x150) } else { 0 };
        (u128::from(high << 32 | long(1024 + 4)) << (10 + (long(1024 + 0x18) & 15)), SMALL_GROUP)
    } else if head[510..512] == [0x55, 0xaa]
        && [43, 71].iter().any(|&at| head[at..at + LABEL.len()].eq_ignore_ascii_case(LABEL))
    {
        let sectors = if short(19) == 0 { long(32) } else { short(19) };
        (u128::from(sectors * short(11)), 1 << 20)
    } else {
        return Ok(false);
    };
    let bytes = u128::from(range.end - range.start);
    Ok(size <= bytes && size + u128::from(slack) > bytes)
}
