//! The config drive's partition on a disk whose image is verified and not yet revealed (IPA contract §8.7).

use ring::rand::{SecureRandom, SystemRandom};

use crate::config_drive::{ConfigDriveError, MAX_CONFIG_DRIVE_BYTES};
use crate::partition::Partition;
use crate::table::Table;
use crate::target::TargetError;
use crate::veil::Veil;

pub(crate) const NAME: &str = "config-2";
/// Linux file system data, 0FC63DAF-8483-4772-8E79-3D69D8477DE4, as it lies on a disk.
pub(crate) const LINUX_DATA: [u8; 16] =
    [0xaf, 0x3d, 0xc6, 0x0f, 0x83, 0x84, 0x72, 0x47, 0x8e, 0x79, 0x3d, 0x69, 0xd8, 0x47, 0x7d, 0xe4];
/// Partitions begin at multiples of this many bytes.
const ALIGNMENT: u64 = 1 << 20;
/// Types of partitions that hold other partitions.
const CONTAINERS: [u8; 4] = [0x05, 0x0f, 0x85, 0xee];

/// Types of partitions that never hold a config drive: EFI system, BIOS boot, PReP boot, swap.
const OTHER_USES: [&str; 4] = [
    "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
    "21686148-6449-6e6f-744e-656564454649",
    "9e1a2d38-c612-4316-aa26-8b49521e5a8b",
    "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f",
];
const OTHER_USES_MBR: [u8; 3] = [0xef, 0x41, 0x82];

/// Why the config drive is not in its place.
pub(crate) enum PlaceError {
    Drive(ConfigDriveError),
    Disk(TargetError),
}

impl From<ConfigDriveError> for PlaceError {
    fn from(error: ConfigDriveError) -> Self {
        Self::Drive(error)
    }
}

impl From<TargetError> for PlaceError {
    fn from(error: TargetError) -> Self {
        Self::Disk(error)
    }
}

/// Refuses, before anything is written, a drive for which there will be no place. The labels of file systems in
/// partitions are not known by then: a partition that has the size and may have the label counts as a place.
pub(crate) fn check_place(
    table: &Table,
    drive: u64,
    sector: u64,
    disk_blocks: u64,
) -> Result<(), ConfigDriveError> {
    let mut table = table.clone();
    table.fit(disk_blocks).map_err(|_| ConfigDriveError::NoRoom)?;
    let (mut named, mut may_be) = (None, false);
    for partition in table.partitions() {
        if partition.type_byte.is_some_and(|kind| CONTAINERS.contains(&kind)) {
            continue;
        }
        let bytes = partition.size_lba.saturating_mul(sector);
        if partition.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(NAME)) {
            named = Some(match named {
                None => (partition.number, bytes),
                Some((first, _)) => {
                    return Err(ConfigDriveError::TwoPartitions { first, second: partition.number });
                }
            });
        }
        let other_use = partition.type_guid.as_deref().is_some_and(|guid| OTHER_USES.contains(&guid))
            || partition.type_byte.is_some_and(|kind| OTHER_USES_MBR.contains(&kind));
        may_be |= !other_use && (drive..=MAX_CONFIG_DRIVE_BYTES).contains(&bytes);
    }
    match named {
        Some((number, partition)) if partition < drive => {
            Err(ConfigDriveError::PartitionTooSmall { number, partition, drive })
        }
        Some(_) => Ok(()),
        None if may_be => Ok(()),
        None => add(&mut table, sector, disk_blocks).map(|_| ()),
    }
}

/// Writes the drive into the partition called `config-2`, or into a new one at the end of the disk.
pub(crate) fn place(
    drive: &[u8],
    table: &mut Table,
    veil: &Veil<'_>,
    sector: u64,
    disk_blocks: u64,
) -> Result<Partition, PlaceError> {
    let partition = match existing(table, veil, sector)? {
        Some(partition) => {
            let bytes = partition.size_lba * sector;
            if bytes < drive.len() as u64 {
                let (number, drive) = (partition.number, drive.len() as u64);
                return Err(ConfigDriveError::PartitionTooSmall { number, partition: bytes, drive }.into());
            }
            partition
        }
        None => add(table, sector, disk_blocks)?,
    };
    let start = partition.start_lba * sector;
    // What lay there before must not be found beside the new content: tools that look for file systems give up when
    // they see two.
    veil.zero(start, (partition.size_lba * sector).min(MAX_CONFIG_DRIVE_BYTES))?;
    for (offset, piece) in (start..).step_by(1 << 20).zip(drive.chunks(1 << 20)) {
        veil.write(offset, piece)?;
    }
    Ok(partition)
}

fn existing(table: &Table, veil: &Veil<'_>, sector: u64) -> Result<Option<Partition>, PlaceError> {
    let mut found: Option<Partition> = None;
    for partition in table.partitions() {
        if partition.type_byte.is_some_and(|kind| CONTAINERS.contains(&kind)) {
            continue;
        }
        let named = partition.name.as_deref().is_some_and(|name| name.eq_ignore_ascii_case(NAME));
        if !named && !has_label(&partition, veil, sector)? {
            continue;
        }
        if let Some(first) = found {
            return Err(
                ConfigDriveError::TwoPartitions { first: first.number, second: partition.number }.into()
            );
        }
        found = Some(partition);
    }
    Ok(found)
}

/// Whether the file system in a partition, ISO 9660 or FAT, is labelled `config-2`.
fn has_label(partition: &Partition, veil: &Veil<'_>, sector: u64) -> Result<bool, TargetError> {
    let start = partition.start_lba * sector;
    let bytes = partition.size_lba * sector;
    let is_name = |label: &[u8]| {
        let end = label.iter().rposition(|byte| !matches!(byte, b' ' | 0)).map_or(0, |last| last + 1);
        label[..end].eq_ignore_ascii_case(NAME.as_bytes())
    };
    // ECMA-119 §8.4: primary volume descriptor, volume identifier.
    const DESCRIPTOR: u64 = 32768;
    if bytes >= DESCRIPTOR + 2048 {
        let mut descriptor = [0; 2048];
        veil.read(start + DESCRIPTOR, &mut descriptor)?;
        if descriptor.starts_with(b"\x01CD001") {
            return Ok(is_name(&descriptor[40..72]));
        }
    }
    let mut boot = [0; 512];
    veil.read(start, &mut boot)?;
    let label = if boot[510..] != [0x55, 0xaa] {
        return Ok(false);
    } else if boot[82..87] == *b"FAT32" && boot[66] == 0x29 {
        &boot[71..82]
    } else if boot[54..57] == *b"FAT" && boot[38] == 0x29 {
        &boot[43..54]
    } else {
        return Ok(false);
    };
    Ok(is_name(label))
}

fn add(table: &mut Table, sector: u64, disk_blocks: u64) -> Result<Partition, ConfigDriveError> {
    let (size, align) = (MAX_CONFIG_DRIVE_BYTES / sector, ALIGNMENT / sector);
    if let Some(gpt) = &mut table.gpt {
        let start = gpt.last_place(size, align).ok_or(ConfigDriveError::NoRoom)?;
        return gpt.add(LINUX_DATA, random_guid()?, NAME, start, size).ok_or(ConfigDriveError::NoEntry);
    }
    let mbr = table.mbr.as_mut().ok_or(ConfigDriveError::NoEntry)?;
    let used = mbr.partitions();
    if used.len() > 3 {
        return Err(ConfigDriveError::NoSlot { primaries: used.len() });
    }
    // Blocks in an MBR have 32 bits.
    let end = disk_blocks.min(u64::from(u32::MAX));
    let start = end.checked_sub(size).ok_or(ConfigDriveError::NoRoom)? / align * align;
    let taken = used.iter().any(|used| used.start_lba < start + size && used.end_lba() > start);
    match (u32::try_from(start), u32::try_from(size)) {
        (Ok(start_lba), Ok(size_lba)) if start >= align && !taken => {
            mbr.add(start_lba, size_lba).ok_or(ConfigDriveError::NoEntry)
        }
        _ => Err(ConfigDriveError::NoRoom),
    }
}

/// A version 4 GUID as it lies on a disk.
pub(crate) fn random_guid() -> Result<[u8; 16], ConfigDriveError> {
    let mut guid = [0; 16];
    SystemRandom::new().fill(&mut guid).map_err(|_| ConfigDriveError::Random)?;
    // Version and variant (RFC 9562 §5.4); the version's field is little-endian on a disk.
    guid[7] = guid[7] & 0x0f | 0x40;
    guid[8] = guid[8] & 0x3f | 0x80;
    Ok(guid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpt::Gpt;
    use crate::mbr::Mbr;

    const MIB: u64 = 1 << 20;

    /// A GPT with partitions of these names and sizes in MiB from 1 MiB on.
    fn gpt(sector: u64, disk: u64, partitions: &[(&str, u64)]) -> Table {
        let mut gpt = Gpt::empty(sector as u32, disk / sector, [1; 16]).unwrap();
        let mut start = MIB / sector;
        for (number, (name, mib)) in (1..).zip(partitions) {
            let size = mib * MIB / sector;
            gpt.add(LINUX_DATA, [number; 16], name, start, size).unwrap();
            start += size;
        }
        Table { mbr: Some(Mbr::protective(disk / sector)), gpt: Some(gpt) }
    }

    #[test]
    fn a_drive_without_a_place_is_known_beforehand() {
        let drive = 3 * MIB / 2;
        for sector in [512, 4096] {
            let check = |disk: u64, partitions: &[(&str, u64)]| {
                // The image may be made for a smaller disk.
                let image = gpt(sector, 250 * MIB, partitions);
                check_place(&image, drive, sector, disk / sector)
            };
            assert!(check(400 * MIB, &[("root", 200)]).is_ok());
            assert!(matches!(check(265 * MIB, &[("root", 201)]), Err(ConfigDriveError::NoRoom)));
            assert!(check(250 * MIB, &[("root", 240), ("Config-2", 2)]).is_ok());
            let small = check(400 * MIB, &[("root", 200), ("config-2", 1)]);
            assert!(matches!(small, Err(ConfigDriveError::PartitionTooSmall { number: 2, .. })));
            let two = check(400 * MIB, &[("config-2", 2), ("root", 100), ("CONFIG-2", 2)]);
            assert!(matches!(two, Err(ConfigDriveError::TwoPartitions { first: 1, second: 3 })));
            // This one may have the label.
            assert!(check(250 * MIB, &[("root", 240), ("other", 2)]).is_ok());
            assert!(check(250 * MIB, &[("root", 240), ("other", 1)]).is_err());
            let mut boot = gpt(sector, 250 * MIB, &[("root", 240)]);
            let start = 241 * MIB / sector;
            let bios_boot = *b"Hah!IdontNeedEFI";
            boot.gpt.as_mut().unwrap().add(bios_boot, [9; 16], "boot", start, 2 * MIB / sector).unwrap();
            assert!(check_place(&boot, drive, sector, 250 * MIB / sector).is_err());
        }
    }

    #[test]
    fn a_full_mbr_is_known_beforehand() {
        let mut mbr = Mbr::empty(1);
        for index in 0..3 {
            mbr.add(2048 + index * 409_600, 409_600).unwrap();
        }
        let mut table = Table { mbr: Some(mbr), gpt: None };
        assert!(check_place(&table, MIB, 512, 4 << 20).is_ok());
        assert!(matches!(check_place(&table, MIB, 512, 1_250_000), Err(ConfigDriveError::NoRoom)));
        table.mbr.as_mut().unwrap().add(2_000_000, 409_600).unwrap();
        let refused = check_place(&table, MIB, 512, 8 << 20);
        assert!(matches!(refused, Err(ConfigDriveError::NoSlot { primaries: 4 })));
    }
}
