//! Labels of other systems than the PC: BSD, Solaris on x86, SGI, Sun and Apple. Structures are those that the Linux
//! kernel reads (`block/partitions/`).

use tacit_blockdev::{Device, Error};

use super::scan::{Area, Partition, PartitionKind, Scan};

/// Every label that an area holds, and the slices that it names.
pub(super) fn scan(device: &Device, area: Area, found: &mut Scan) -> Result<(), Error> {
    let length = area.length.min(16 << 10);
    let mut head = vec![0; usize::try_from(length).expect("bounded")];
    if head.len() < 1024 {
        return Ok(());
    }
    device.read_at(area.start, &mut head)?;
    bsd(&head, area, found);
    solaris(&head, area, found);
    sgi(&head, area, found);
    sun(&head, area, found);
    apple(&head, area, found);
    Ok(())
}

fn number<const N: usize>(block: &[u8], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    if let Some(found) = block.get(at..).and_then(|rest| rest.get(..N)) {
        bytes.copy_from_slice(found);
    }
    bytes
}

fn le16(block: &[u8], at: usize) -> u64 {
    u16::from_le_bytes(number(block, at)).into()
}

fn le32(block: &[u8], at: usize) -> u64 {
    u32::from_le_bytes(number(block, at)).into()
}

fn be16(block: &[u8], at: usize) -> u64 {
    u16::from_be_bytes(number(block, at)).into()
}

fn be32(block: &[u8], at: usize) -> u64 {
    u32::from_be_bytes(number(block, at)).into()
}

fn slice(label: &'static str, index: usize, tag: u64, start_lba: u64, sectors: u64) -> Partition {
    Partition {
        number: u32::try_from(index + 1).unwrap_or(u32::MAX),
        start: 0,
        length: 0,
        start_lba,
        sectors,
        kind: PartitionKind::Slice { label, tag: u32::try_from(tag).unwrap_or(u32::MAX) },
    }
}

/// In the second sector, or within the first.
fn bsd(head: &[u8], area: Area, found: &mut Scan) {
    for at in [512, 64, 128, 0] {
        if le32(head, at) != 0x8256_4557 {
            continue;
        }
        found.add_structure(area, "BSD disk label", at as u64, 404);
        let sector = match le32(head, at + 40) {
            0 => 512,
            size => size,
        };
        for index in 0..usize::from(u16::from_le_bytes(number(head, at + 138))).min(22) {
            let entry = at + 148 + 16 * index;
            let (sectors, start) = (le32(head, entry), le32(head, entry + 4));
            let tag = u64::from(head.get(entry + 12).copied().unwrap_or_default());
            // Counted from the start of the disk, or, in newer FreeBSD, of the slice that holds the label.
            let relative = start.checked_sub(area.start / sector);
            for start in [Some(start), relative].into_iter().flatten() {
                found.add_partition(area, sector, slice("BSD", index, tag, start, sectors));
            }
        }
    }
}

/// A table of contents in the second sector of a Solaris partition.
fn solaris(head: &[u8], area: Area, found: &mut Scan) {
    const LABEL: usize = 512;
    if le32(head, LABEL + 12) != 0x600d_deee {
        return;
    }
    found.add_structure(area, "Solaris disk label", LABEL as u64, 512);
    for index in 0..usize::from(u16::from_le_bytes(number(head, LABEL + 30))).min(16) {
        let entry = LABEL + 72 + 12 * index;
        let (start, sectors) = (le32(head, entry + 4), le32(head, entry + 8));
        found.add_partition(area, 512, slice("Solaris", index, le16(head, entry), start, sectors));
    }
}

/// A volume header in the first sector.
fn sgi(head: &[u8], area: Area, found: &mut Scan) {
    if be32(head, 0) != 0x0be5_a941 {
        return;
    }
    found.add_structure(area, "SGI disk label", 0, 512);
    for index in 0..16 {
        let entry = 312 + 12 * index;
        let (sectors, start) = (be32(head, entry), be32(head, entry + 4));
        found.add_partition(area, 512, slice("SGI", index, be32(head, entry + 8), start, sectors));
    }
}

/// A label in the first sector, which counts in cylinders.
fn sun(head: &[u8], area: Area, found: &mut Scan) {
    if be16(head, 508) != 0xdabe {
        return;
    }
    found.add_structure(area, "Sun disk label", 0, 512);
    let cylinder = be16(head, 436) * be16(head, 438);
    for index in 0..8 {
        let entry = 444 + 8 * index;
        let tag = be16(head, 142 + 4 * index);
        let start = be32(head, entry).saturating_mul(cylinder);
        found.add_partition(area, 512, slice("Sun", index, tag, start, be32(head, entry + 4)));
    }
}

/// A map of one block for each partition, the map itself included.
fn apple(head: &[u8], area: Area, found: &mut Scan) {
    let told = if head.starts_with(b"ER") { be16(head, 2) } else { 0 };
    let block = if (512..=4096).contains(&told) && told.is_power_of_two() { told } else { 512 };
    let step = usize::try_from(block).expect("at most 4096");
    for index in 0..64 {
        let entry = (index + 1) * step;
        if !matches!(head.get(entry..entry + 2), Some(b"PM" | b"TS")) {
            break;
        }
        found.add_structure(area, "Apple partition map", entry as u64, block);
        let (start, blocks) = (be32(head, entry + 8), be32(head, entry + 12));
        found.add_partition(area, block, slice("Apple", index, 0, start, blocks));
    }
}
