//! Copies of formats that need little: a list of places, and what must stand there.

use tacit_blockdev::Error;

use super::MOST;
use super::fields::{be64, le16, le32, le64};
use crate::wipe::probe::{Found, Reader};

/// DDF: the anchor at the end tells where the primary and the secondary header are (SNIA DDF 2.0, 4.3).
pub(super) fn ddf(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    const MAGIC: [u8; 4] = [0xde, 0x11, 0xde, 0x11];
    let sectors = reader.length() / 512;
    for back in [1, 257, 8] {
        let Some(anchor) = sectors.checked_sub(back).map(|sector| sector * 512) else { continue };
        let Some(block) = reader.bytes(anchor, 512)? else { continue };
        if !block.starts_with(&MAGIC) {
            continue;
        }
        for place in [be64(&block, 96), be64(&block, 104), be64(&block, 120)] {
            let Some(offset) = place.checked_mul(512).filter(|at| *at != anchor) else { continue };
            if reader.holds(offset, &MAGIC)? {
                found.push(reader.found("DDF RAID", offset, 512, false));
            }
        }
    }
    Ok(())
}

/// UDF: anchors in sector 256 and at the end, whatever a sector is (ECMA-167 3/8.4.2.1).
pub(super) fn udf(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    for sector in [512_u64, 1024, 2048, 4096] {
        let count = reader.length() / sector;
        let places = [Some(256), Some(512), count.checked_sub(1), count.checked_sub(257)];
        for place in places.into_iter().flatten() {
            let Some(tag) = reader.bytes(place * sector, 16)? else { continue };
            let sum = tag
                .iter()
                .enumerate()
                .filter(|(at, _)| *at != 4)
                .fold(0_u8, |sum, (_, byte)| sum.wrapping_add(*byte));
            // An anchor says where it is.
            if le16(&tag, 0) == 2 && sum == tag[4] && le32(&tag, 12) == place {
                found.push(reader.found("UDF anchor", place * sector, 512, false));
            }
        }
    }
    Ok(())
}

/// bcachefs: a list of all superblocks in the seventh sector.
pub(super) fn bcachefs(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    const MAGIC: [u8; 4] = [0xc6, 0x85, 0x73, 0xf6];
    let Some(layout) = reader.bytes(7 * 512, 512)? else { return Ok(()) };
    if !layout.starts_with(&MAGIC) {
        return Ok(());
    }
    found.push(reader.found("bcachefs layout", 7 * 512, 512, false));
    for copy in 0..usize::from(layout[18]).min(61) {
        let Some(offset) = le64(&layout, 24 + 8 * copy).checked_mul(512) else { continue };
        let Some(magic) = offset.checked_add(24) else { continue };
        if reader.holds(magic, &MAGIC)? {
            found.push(reader.found("bcachefs", offset, 512, false));
        }
    }
    Ok(())
}

/// APFS: earlier superblocks in the checkpoint area (Apple File System Reference, "Container").
pub(super) fn apfs(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    const MAGIC: &[u8] = b"NXSB";
    let Some(block) = reader.bytes(0, 512)? else { return Ok(()) };
    let (size, count, base) = (le32(&block, 36), le32(&block, 104), le64(&block, 112));
    if block.get(32..36) != Some(MAGIC) || !(4096..=65536).contains(&size) || !size.is_power_of_two() {
        return Ok(());
    }
    for number in (0..count).take(MOST) {
        let place = base.checked_add(number).and_then(|block| block.checked_mul(size));
        let Some(offset) = place.filter(|at| *at < reader.length()) else { break };
        if reader.holds(offset + 32, MAGIC)? {
            found.push(reader.found("APFS checkpoint", offset, size, false));
        }
    }
    Ok(())
}

/// UFS: a superblock in each cylinder group (FreeBSD, `ufs/ffs/fs.h`); only its own byte order is followed, that of
/// today's machines.
pub(super) fn ufs(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    const UFS1: u64 = 0x0001_1954;
    const UFS2: u64 = 0x1954_0119;
    for start in [8_u64 << 10, 64 << 10, 256 << 10, 0] {
        let Some(block) = reader.bytes(start, 1376)? else { continue };
        let magic = le32(&block, 1372);
        if magic != UFS1 && magic != UFS2 {
            continue;
        }
        let (own, groups, fragment, per_group) =
            (le32(&block, 8), le32(&block, 44), le32(&block, 52), le32(&block, 188));
        if !(512..=65536).contains(&fragment) || per_group == 0 {
            continue;
        }
        let wanted = u32::try_from(magic).expect("read from four bytes").to_le_bytes();
        for number in (0..groups).take(MOST) {
            // UFS1 moves them along the cylinders, so that one bad head does not take all.
            let turn =
                if magic == UFS1 { le32(&block, 24) * (number & !le32(&block, 28) & 0xffff_ffff) } else { 0 };
            let place = per_group
                .checked_mul(number)
                .and_then(|at| at.checked_add(turn + own)?.checked_mul(fragment));
            let Some(offset) = place.filter(|at| *at < reader.length()) else { break };
            if reader.holds(offset + 1372, &wanted)? {
                found.push(reader.found("UFS backup superblock", offset, 1376, false));
            }
        }
    }
    Ok(())
}
