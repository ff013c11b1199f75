//! NTFS and BitLocker: what is left of them when both boot sectors are gone is enough for their repair tools.

use tacit_blockdev::Error;

use super::fields::{le16, le64};
use crate::wipe::probe::{Found, Reader};

const RECORD: &[u8] = b"FILE";
/// The first records of the master file table, and of its mirror.
const RECORDS: u64 = 16 << 10;
/// A block of BitLocker's metadata, of which there are three.
const METADATA: u64 = 64 << 10;

/// Bytes of a cluster, by a boot sector.
fn cluster(boot: &[u8]) -> Option<u64> {
    let sector = le16(boot, 11);
    let count = u64::from(boot.get(13).copied().unwrap_or_default());
    // Above 128 it is a negative power of two.
    let count = if count > 128 { 1_u64.checked_shl(u32::try_from(256 - count).ok()?)? } else { count };
    let cluster = sector.checked_mul(count)?;
    (sector.is_power_of_two() && sector >= 256 && count.is_power_of_two() && cluster <= 2 << 20)
        .then_some(cluster)
}

/// The master file table and its mirror, as either boot sector tells.
pub(super) fn ntfs(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    let end = reader.length();
    let boots =
        [Some(0), end.checked_sub(512), end.checked_sub(4096), end.checked_sub(1024), end.checked_sub(8192)];
    for offset in boots.into_iter().flatten() {
        let Some(boot) = reader.bytes(offset, 512)? else { continue };
        if boot.get(3..11) != Some(b"NTFS    ") {
            continue;
        }
        let Some(cluster) = cluster(&boot) else { continue };
        for (field, name) in [(48, "NTFS file table"), (56, "NTFS file table mirror")] {
            let Some(at) = le64(&boot, field).checked_mul(cluster) else { continue };
            if reader.holds(at, RECORD)? {
                found.push(reader.found(name, at, RECORDS, false));
            }
        }
    }
    Ok(())
}

/// The three copies of the metadata that the boot sector tells of.
pub(super) fn bitlocker(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    let Some(boot) = reader.bytes(0, 512)? else { return Ok(()) };
    let first = if boot.get(3..11) == Some(b"-FVE-FS-") {
        176
    } else if boot.starts_with(b"\xeb\x58\x90MSWIN4.1") {
        440
    } else {
        return Ok(());
    };
    let mut places: Vec<u64> = (0..3).map(|copy| le64(&boot, first + 8 * copy)).collect();
    // Vista keeps a cluster number where NTFS has its mirror.
    if let Some(cluster) = cluster(&boot) {
        places.extend(le64(&boot, 56).checked_mul(cluster));
    }
    for offset in places.into_iter().filter(|offset| *offset > 0) {
        let Some(block) = reader.bytes(offset, 64)? else { continue };
        if !block.starts_with(b"-FVE-FS-") {
            continue;
        }
        found.push(reader.found("BitLocker metadata", offset, METADATA, false));
        // Each copy tells where all three are.
        for copy in 0..3 {
            let other = le64(&block, 32 + 8 * copy);
            if other != offset && other > 0 && reader.holds(other, b"-FVE-FS-")? {
                found.push(reader.found("BitLocker metadata", other, METADATA, false));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_of_absurd_sizes_are_none() {
        let boot = |sector: u16, count: u8| {
            let mut boot = vec![0_u8; 512];
            boot[11..13].copy_from_slice(&sector.to_le_bytes());
            boot[13] = count;
            cluster(&boot)
        };
        assert_eq!(boot(512, 8), Some(4096));
        // 2 to the power of 12 sectors.
        assert_eq!(boot(512, 244), Some(2 << 20));
        for (sector, count) in [(0, 8), (512, 0), (512, 3), (512, 130), (513, 1), (u16::MAX, 255)] {
            assert_eq!(boot(sector, count), None, "{sector} {count}");
        }
    }
}
