//! Partition tables.

use crate::table::Table;

/// Longest first part of an image in which its tables are looked for.
const HEAD: usize = 1 << 20;

/// Input of [`gpt`]: where in the first blocks of an image which of its bytes lie.
const FLAGS: usize = 5;
const MBR_AT: usize = 440;
const MBR_LEN: usize = 72;
const GPT_LEN: usize = 92;

/// A GUID partition table with the checksums right (or not), for a disk of any size.
///
/// The first byte: bit 0 large sectors, bit 1 checksums as they are, bit 2 all that follows is the image itself. Four
/// bytes: blocks of the disk. Then the MBR from its disk signature on, the header, and the entries.
///
/// # Panics
///
/// When a table is accepted of which something lies behind the disk or on something else.
pub fn gpt(data: &[u8]) {
    let Some((&[flags, a, b, c, d], rest)) = data.split_first_chunk::<FLAGS>() else { return };
    let sector: u32 = if flags & 1 == 0 { 512 } else { 4096 };
    let blocks = u64::from(u32::from_le_bytes([a, b, c, d]));
    if flags & 4 != 0 {
        inspect(&rest[..rest.len().min(HEAD)], sector, blocks);
        return;
    }
    let Some((mbr, rest)) = rest.split_at_checked(MBR_LEN) else { return };
    let Some((header, entries)) = rest.split_at_checked(GPT_LEN) else { return };
    let mut head = vec![0; 64 << 10];
    head[MBR_AT..MBR_AT + MBR_LEN].copy_from_slice(mbr);
    let at = sector as usize;
    head[at..at + GPT_LEN].copy_from_slice(header);
    let entries_at = u64::from_le_bytes(header[72..80].try_into().expect("eight bytes"))
        .checked_mul(sector.into())
        .and_then(|at| usize::try_from(at).ok())
        .filter(|&at| at < head.len() && at >= 2 * sector as usize);
    if let Some(at) = entries_at {
        let len = entries.len().min(head.len() - at);
        head[at..at + len].copy_from_slice(&entries[..len]);
    }
    if flags & 2 == 0 {
        seal(&mut head, at, entries_at);
    }
    inspect(&head, sector, blocks);
}

/// Makes the checksums right, so that what they protect is looked at.
fn seal(head: &mut [u8], at: usize, entries_at: Option<usize>) {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes")) as usize;
    let len = number(at + 80).saturating_mul(number(at + 84));
    let size = number(at + 12).clamp(GPT_LEN, 512);
    if let Some(entries) = entries_at.and_then(|start| head.get(start..start.checked_add(len)?)) {
        let sum = crc(entries);
        head[at + 88..at + 92].copy_from_slice(&sum);
    }
    head[at + 16..at + 20].fill(0);
    let sum = crc(&head[at..at + size]);
    head[at + 16..at + 20].copy_from_slice(&sum);
}

/// A master boot record alone; the first four bytes are the blocks of the disk.
///
/// # Panics
///
/// As [`gpt`].
pub fn mbr(data: &[u8]) {
    let Some((blocks, rest)) = data.split_first_chunk::<4>() else { return };
    inspect(&rest[..rest.len().min(4096)], 512, u64::from(u32::from_le_bytes(*blocks)));
}

/// A table that is accepted fits the disk: nothing that is made of it lies elsewhere.
fn inspect(head: &[u8], sector: u32, blocks: u64) {
    let Ok(mut table) = Table::inspect(head, sector, blocks) else { return };
    let size = blocks * u64::from(sector);
    let held = table.backup_bytes(sector);
    table.fit(blocks).expect("what was accepted fits");
    let partitions = table.partitions();
    assert!(!partitions.is_empty(), "a table without partitions");
    for partition in &partitions {
        assert!(partition.start_lba > 0 || table.gpt.is_none(), "{partition:?} lies on the table");
        assert!(partition.end_lba() <= blocks, "{partition:?} ends behind block {blocks}");
        if let Some(held) = &held {
            assert!(held.start <= held.end && held.end <= size, "the backup table lies behind the disk");
            assert!(held.start >= partition.end_lba() * u64::from(sector), "{partition:?} is held back");
        }
    }
    for size_lba in [1, 100, blocks] {
        for align in [1, u64::from((1 << 20) / sector)] {
            let place = table.gpt.as_ref().and_then(|gpt| gpt.last_place(size_lba, align));
            let Some(start) = place else { continue };
            assert!(start.is_multiple_of(align) && start + size_lba <= blocks, "no place at {start}");
            let free =
                |used: &crate::Partition| start + size_lba <= used.start_lba || start >= used.end_lba();
            assert!(partitions.iter().all(free), "the place at {start} is taken");
        }
    }
    for (offset, bytes) in table.pieces() {
        assert!(offset + bytes.len() as u64 <= size, "a part of the table lies behind the disk");
    }
}

/// The partitions of a disk that was written.
pub(super) fn still_fits(head: &[u8], sector: u32, blocks: u64) -> Vec<crate::Partition> {
    let table =
        Table::inspect(head, sector, blocks).expect("what was written has the table that was checked");
    table.partitions()
}
