//! Metadata areas of an LVM physical volume (LVM2, `format_text/layout.h`): their text alone can bring a volume group
//! back.

use tacit_blockdev::Error;

use super::fields::{le32, le64};
use crate::wipe::probe::{Found, Reader};

const LABEL: &[u8] = b"LABELONE";
const AREA: &[u8] = b" LVM2 x[5A%r0N*>";
/// Between the start of an area and its magic: a checksum.
const CHECKSUM: u64 = 4;
const NAME: &str = "LVM2 metadata area";
/// Bytes of an area's header.
const HEADER: u64 = 512;
/// Most bytes of metadata that are read.
const LONGEST: u64 = 1 << 20;
/// Most bytes of an area that are removed as a whole. Areas have 1 MiB, unless somebody asked for more.
const LARGEST: u64 = 64 << 20;

/// Areas that the label lists, and those at the places where they are without further wishes.
pub(super) fn areas(reader: &Reader<'_>, found: &mut Vec<Found>) -> Result<(), Error> {
    const MIB: u64 = 1 << 20;
    let end = reader.length() - reader.length() % MIB;
    let mut places: Vec<(u64, u64)> = [Some(4096), end.checked_sub(MIB), end.checked_sub(2 * MIB)]
        .into_iter()
        .flatten()
        .map(|at| (at, 0))
        .collect();
    for sector in 0..4 {
        let Some(label) = reader.bytes(sector * 512, 512)? else { break };
        if label.starts_with(LABEL) {
            places.extend(listed(&label));
        }
    }
    for (offset, size) in places {
        let Some(header) = reader.bytes(offset, 512)? else { continue };
        let is_area = header.get(CHECKSUM as usize..).is_some_and(|rest| rest.starts_with(AREA));
        if !is_area && size == 0 {
            continue;
        }
        // What the label lists is an area, whatever is left of its header.
        let size = if is_area { size.max(le64(&header, 32)) } else { size };
        let length = size.clamp(512, LARGEST);
        found.push(reader.found(NAME, offset, length, false));
        if is_area && is_of_a_cluster(&text(reader, offset, size, &header)?) {
            found.push(reader.found("LVM volume group of a cluster", offset, 512, true));
        }
    }
    Ok(())
}

/// The metadata in force: the first location of the header names a part of the ring that begins behind it.
fn text(reader: &Reader<'_>, area: u64, size: u64, header: &[u8]) -> Result<Vec<u8>, Error> {
    let (start, length) = (le64(header, 40), le64(header, 48).min(LONGEST));
    if start < HEADER || start >= size {
        return Ok(Vec::new());
    }
    let first = length.min(size - start);
    let mut text = Vec::new();
    for (at, length) in [(start, first), (HEADER, length - first)] {
        let (Some(at), Ok(length)) = (area.checked_add(at), usize::try_from(length)) else { break };
        text.extend(reader.bytes(at, length)?.unwrap_or_default());
    }
    Ok(text)
}

/// Whether other machines share the volume group: `vgchange --shared`, or clvmd of old.
fn is_of_a_cluster(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let locks = text.split("lock_type = \"").skip(1).filter_map(|rest| rest.split('"').next());
    locks.into_iter().any(|lock| matches!(lock, "sanlock" | "dlm" | "idm")) || text.contains("\"CLUSTERED\"")
}

/// Offsets and sizes of the metadata areas: the second list behind the header, each ended by an empty entry.
fn listed(label: &[u8]) -> Vec<(u64, u64)> {
    let Ok(header) = usize::try_from(le32(label, 20)) else { return Vec::new() };
    // An identifier and the size of the device come first.
    let entries = label.get(header.saturating_add(40)..).unwrap_or_default();
    let mut entries = entries.chunks_exact(16).map(|entry| (le64(entry, 0), le64(entry, 8)));
    // Data areas end with an entry of zeros; the last one's size is 0 for "to the end".
    for (offset, _) in entries.by_ref() {
        if offset == 0 {
            break;
        }
    }
    entries.take_while(|(offset, size)| *offset != 0 && *size != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_groups_of_clusters_are_recognised() {
        for shared in
            ["lock_type = \"sanlock\"\n", "x lock_type = \"dlm\"", "status = [\"READ\", \"CLUSTERED\"]"]
        {
            assert!(is_of_a_cluster(shared.as_bytes()), "{shared}");
        }
        for own in ["", "lock_type = \"none\"", "lock_type = \"", "CLUSTERED", "status = [\"READ\"]"] {
            assert!(!is_of_a_cluster(own.as_bytes()), "{own}");
        }
    }

    #[test]
    fn the_second_list_is_that_of_metadata() {
        let mut label = vec![0_u8; 512];
        label[20..24].copy_from_slice(&32_u32.to_le_bytes());
        let put = |label: &mut Vec<u8>, entry: usize, offset: u64, size: u64| {
            let at = 32 + 40 + 16 * entry;
            label[at..at + 8].copy_from_slice(&offset.to_le_bytes());
            label[at + 8..at + 16].copy_from_slice(&size.to_le_bytes());
        };
        put(&mut label, 0, 1 << 20, 0);
        put(&mut label, 2, 4096, 1_044_480);
        put(&mut label, 3, 7 << 20, 1 << 20);
        assert_eq!(listed(&label), [(4096, 1_044_480), (7 << 20, 1 << 20)]);
        label[20..24].fill(0xff);
        assert_eq!(listed(&label), []);
    }
}
