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
