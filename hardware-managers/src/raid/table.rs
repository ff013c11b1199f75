//! Writing a partition table with an array's members in it, and reading it back.

use std::fs::File;
use std::io::Read;

use tacit_blockdev::{Device, Error};

use super::error::RaidError;
use super::layout::{Label, Purpose, Slot};
use crate::partitions::{Partition, PartitionKind, read_valid, scan};

const ENTRIES: usize = 128;
const ENTRY: usize = 128;
/// A19D880F-05FC-4D3B-A006-743F0F84911E, Linux RAID, in the byte order of the disk.
const RAID_TYPE: [u8; 16] =
    [0x0f, 0x88, 0x9d, 0xa1, 0xfc, 0x05, 0x3b, 0x4d, 0xa0, 0x06, 0x74, 0x3f, 0x0f, 0x84, 0x91, 0x1e];
/// C12A7328-F81F-11D2-BA4B-00A0C93EC93B, EFI system partition.
const ESP_TYPE: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];
const RAID_MBR: u8 = 0xfd;

/// Begins the names of the partitions that take a copy of the EFI system partition.
const HOLDER_NAME: &str = "uefi-holder-";

/// Whether a partition is one that firmware reads.
pub(super) fn is_system_partition(kind: PartitionKind) -> bool {
    matches!(kind, PartitionKind::Gpt { type_guid: ESP_TYPE, .. })
}

/// Writes a table of these partitions to an otherwise empty disk and proves by reading that it is there. `number` is
/// the disk's own among the members.
///
/// # Errors
///
/// [`RaidError::Device`], [`RaidError::TableNotKept`].
pub(super) fn write(device: &Device, label: Label, slots: &[Slot], number: usize) -> Result<(), RaidError> {
    let failed = |source| RaidError::Device { device: device.path().display().to_string(), source };
    match label {
        Label::Gpt => write_gpt(device, slots, number)?,
        Label::Msdos => device.write_at(0, &mbr(device, slots, &random()?[..4])).map_err(failed)?,
    }
    device.flush().map_err(failed)?;
    let found = match label {
        Label::Gpt => read_valid(device).map_err(failed)?.unwrap_or_default(),
        Label::Msdos => scan(device).map_err(failed)?.partitions,
    };
    let same = |slot: &Slot, part: &Partition| {
        (slot.number, slot.start, slot.length) == (part.number, part.start, part.length)
            && matches!(
                (label, part.kind),
                (Label::Gpt, PartitionKind::Gpt { .. }) | (Label::Msdos, PartitionKind::Mbr { .. })
            )
    };
    let kept =
        found.len() == slots.len() && slots.iter().all(|slot| found.iter().any(|part| same(slot, part)));
    if kept { Ok(()) } else { Err(RaidError::TableNotKept { device: device.path().display().to_string() }) }
}

fn write_gpt(device: &Device, slots: &[Slot], number: usize) -> Result<(), RaidError> {
    let failed = |source: Error| RaidError::Device { device: device.path().display().to_string(), source };
    let sector = u64::from(device.logical_sector());
    let last = device.size_bytes() / sector - 1;
    let array_sectors = ((ENTRIES * ENTRY) as u64).div_ceil(sector);
    let mut entries = vec![0; ENTRIES * ENTRY];
    for slot in slots {
        let at = (slot.number as usize - 1) * ENTRY;
        let entry = &mut entries[at..at + ENTRY];
        let (kind, name) = match slot.purpose {
            Purpose::Member(volume) => (RAID_TYPE, format!("raid-member-{volume}")),
            Purpose::SystemPartition => (ESP_TYPE, format!("{HOLDER_NAME}{number}")),
        };
        entry[..16].copy_from_slice(&kind);
        entry[16..32].copy_from_slice(&random()?);
        entry[32..40].copy_from_slice(&(slot.start / sector).to_le_bytes());
        entry[40..48].copy_from_slice(&((slot.start + slot.length) / sector - 1).to_le_bytes());
        for (unit, place) in name.encode_utf16().zip(entry[56..].chunks_exact_mut(2)) {
            place.copy_from_slice(&unit.to_le_bytes());
        }
    }
    let guid = random()?;
    let header = |own: u64, other: u64, array: u64| {
        let mut header = vec![0; 92];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, b"EFI PART");
        put(8, &0x0001_0000_u32.to_le_bytes());
        put(12, &92_u32.to_le_bytes());
        put(24, &own.to_le_bytes());
        put(32, &other.to_le_bytes());
        put(40, &(2 + array_sectors).to_le_bytes());
        put(48, &(last - array_sectors - 1).to_le_bytes());
        put(56, &guid);
        put(72, &array.to_le_bytes());
        put(80, &(ENTRIES as u32).to_le_bytes());
        put(84, &(ENTRY as u32).to_le_bytes());
        put(88, &crc32fast::hash(&entries).to_le_bytes());
        let crc = crc32fast::hash(&header);
        header[16..20].copy_from_slice(&crc.to_le_bytes());
        header.resize(usize::try_from(sector).expect("a sector fits memory"), 0);
        header
    };
    let backup_array = last - array_sectors;
    // The backup first and the protective record last: a table that was cut off is none.
    device.write_at(backup_array * sector, &entries).map_err(failed)?;
    device.write_at(last * sector, &header(last, 1, backup_array)).map_err(failed)?;
    device.write_at(2 * sector, &entries).map_err(failed)?;
    device.write_at(sector, &header(1, last, 2)).map_err(failed)?;
    device.write_at(0, &protective(last)).map_err(failed)
}

/// UEFI 2.10 §5.2.3.
fn protective(last: u64) -> [u8; 512] {
    let mut block = [0; 512];
    let entry = &mut block[446..462];
    entry[1..4].copy_from_slice(&[0x00, 0x02, 0x00]);
    entry[4] = 0xee;
    entry[5..8].copy_from_slice(&[0xff, 0xff, 0xff]);
    entry[8..12].copy_from_slice(&1_u32.to_le_bytes());
    entry[12..16].copy_from_slice(&u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes());
    block[510..].copy_from_slice(&[0x55, 0xaa]);
    block
}

fn mbr(device: &Device, slots: &[Slot], signature: &[u8]) -> [u8; 512] {
    let sector = u64::from(device.logical_sector());
    let sectors = |bytes: u64| u32::try_from(bytes / sector).expect("the layout keeps to 32 bits");
    let mut block = [0; 512];
    block[440..444].copy_from_slice(signature);
    for slot in slots {
        let at = 446 + 16 * (slot.number as usize - 1);
        let entry = &mut block[at..at + 16];
        entry[1..4].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[4] = RAID_MBR;
        entry[5..8].copy_from_slice(&[0xfe, 0xff, 0xff]);
        entry[8..12].copy_from_slice(&sectors(slot.start).to_le_bytes());
        entry[12..16].copy_from_slice(&sectors(slot.length).to_le_bytes());
    }
    block[510..].copy_from_slice(&[0x55, 0xaa]);
    block
}

/// Sixteen random bytes, marked as a GUID of version 4.
fn random() -> Result<[u8; 16], RaidError> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|source| RaidError::Random { source })?;
    bytes[7] = bytes[7] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use tacit_blockdev::Access;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn slots(label: Label) -> Vec<Slot> {
        let member = |number, start, length| Slot { number, start, length, purpose: Purpose::Member(0) };
        let mut slots = vec![member(1, 8 * MIB, 16 * MIB), member(2, 24 * MIB, 8 * MIB)];
        if label == Label::Gpt {
            slots.push(Slot { number: 3, start: MIB, length: 7 * MIB, purpose: Purpose::SystemPartition });
        }
        slots
    }

    fn disk(path: &Path, sector: u32) -> Device {
        std::fs::File::create(path).unwrap().set_len(64 * MIB).unwrap();
        Device::open(path, Access::ReadWrite).unwrap().with_logical_sector(sector)
    }

    #[test]
    fn tables_are_those_that_other_tools_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        write(&disk(&path, 512), Label::Gpt, &slots(Label::Gpt), 4).unwrap();
        let run = |arguments: &[&str]| {
            let output = Command::new("sgdisk").args(arguments).arg(&path).output().unwrap();
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
        };
        let verified = run(&["-v"]);
        assert!(verified.contains("No problems found"), "{verified}");
        let listed = run(&["-p"]);
        for expected in ["16384           49151", "FD00", "EF00", "uefi-holder-4", "raid-member-0"] {
            assert!(listed.contains(expected), "{expected}: {listed}");
        }
    }

    #[test]
    fn large_sectors_and_mbr() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        write(&disk(&path, 4096), Label::Gpt, &slots(Label::Gpt), 0).unwrap();
        write(&disk(&path, 512), Label::Msdos, &slots(Label::Msdos), 0).unwrap();
        let output = Command::new("sgdisk").arg("-p").arg(&path).output().unwrap();
        let listed = String::from_utf8_lossy(&output.stdout);
        for expected in ["valid MBR", "16384           49151", "49152           65535", "FD00"] {
            assert!(listed.contains(expected), "{expected}: {listed}");
        }
    }
}
