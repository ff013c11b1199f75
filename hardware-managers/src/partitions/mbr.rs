//! Master boot records with their chain of extended ones.

use tacit_blockdev::{Device, Error};

use super::scan::{Area, MAX_PARTITIONS, Partition, PartitionKind, Scan};

const EXTENDED: [u8; 3] = [0x05, 0x0f, 0x85];
const PROTECTIVE: u8 = 0xee;

struct Entry {
    type_byte: u8,
    start: u64,
    sectors: u64,
}

/// The four entries of a boot record; `None` when the sector is not one. A boot sector of FAT has the same end mark,
/// but code where the entries' boot indicators would be.
fn entries(block: &[u8]) -> Option<Vec<Entry>> {
    let table = block.get(446..510)?;
    if block.get(510..512)? != [0x55, 0xaa] || table.chunks_exact(16).any(|entry| entry[0] & 0x7f != 0) {
        return None;
    }
    let number = |bytes: &[u8]| u64::from(u32::from_le_bytes(bytes.try_into().expect("four bytes")));
    let entry =
        |raw: &[u8]| Entry { type_byte: raw[4], start: number(&raw[8..12]), sectors: number(&raw[12..16]) };
    Some(
        table
            .chunks_exact(16)
            .map(entry)
            .filter(|entry| entry.type_byte != 0 && entry.sectors != 0)
            .collect(),
    )
}

fn read(device: &Device, area: Area, offset: u64) -> Result<Option<[u8; 512]>, Error> {
    let Some(at) = area.absolute(offset, 512) else { return Ok(None) };
    let mut block = [0; 512];
    device.read_at(at, &mut block)?;
    Ok(Some(block))
}

/// Primary and logical partitions; a protective entry is not one.
pub(super) fn scan(device: &Device, area: Area, sector: u64, found: &mut Scan) -> Result<(), Error> {
    let Some(block) = read(device, area, 0)? else { return Ok(()) };
    let Some(primary) = entries(&block) else { return Ok(()) };
    found.add_structure(area, "MBR", 0, 512);
    for (entry, number) in primary.iter().zip(1..) {
        if EXTENDED.contains(&entry.type_byte) {
            scan_logical(device, area, sector, entry.start, found)?;
        } else if entry.type_byte != PROTECTIVE {
            found.add_partition(area, sector, partition(number, entry, entry.start));
        }
    }
    Ok(())
}

fn scan_logical(device: &Device, area: Area, sector: u64, base: u64, found: &mut Scan) -> Result<(), Error> {
    let mut visited = Vec::new();
    let mut next = Some(base);
    let mut number = 5;
    while let Some(lba) = next.take() {
        // A chain that comes back to itself would otherwise never end.
        if visited.contains(&lba) || visited.len() >= MAX_PARTITIONS || found.is_full() {
            break;
        }
        visited.push(lba);
        let Some(offset) = lba.checked_mul(sector) else { break };
        let Some(block) = read(device, area, offset)? else { break };
        let Some(entries) = entries(&block) else { break };
        found.add_structure(area, "EBR", offset, 512);
        for entry in entries {
            if EXTENDED.contains(&entry.type_byte) {
                next = base.checked_add(entry.start);
            } else if let Some(start) = lba.checked_add(entry.start) {
                found.add_partition(area, sector, partition(number, &entry, start));
                number += 1;
            }
        }
    }
    Ok(())
}

fn partition(number: u32, entry: &Entry, start_lba: u64) -> Partition {
    Partition {
        number,
        start: 0,
        length: 0,
        start_lba,
        sectors: entry.sectors,
        kind: PartitionKind::Mbr { type_byte: entry.type_byte },
    }
}

/// The disk signature at 0x1B8, by which firmware tells MBR disks apart.
pub(crate) fn read_signature(device: &Device) -> Result<Option<[u8; 4]>, Error> {
    let Some(block) = read(device, Area::whole(device), 0)? else { return Ok(None) };
    Ok(entries(&block).map(|_| block[0x1b8..0x1bc].try_into().expect("four bytes")))
}
