use std::io::{self, Read};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

mod iso9660;
mod rebuild;
#[cfg(test)]
mod tests;

pub use rebuild::{fit_config_drive, is_mountable};

/// Largest config drive, and size of the partition made for one, in bytes (IPA contract §8.7).
pub const MAX_CONFIG_DRIVE_BYTES: u64 = 64 << 20;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a config drive cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigDriveError {
    #[error("the config drive is not valid base64")]
    Base64 { source: base64::DecodeError },
    #[error("the config drive's gzip stream is damaged")]
    Gzip { source: io::Error },
    #[error("the config drive is neither base64 nor gzip nor an ISO 9660 or FAT file system")]
    Unknown,
    #[error("the config drive's ISO 9660 file system cannot be read: {what}")]
    Iso { what: &'static str },
    #[error("the config drive cannot be made into FAT at {path:?}")]
    Rebuild { path: String, source: io::Error },
    #[error("the config drive is empty")]
    Empty,
    #[error("the config drive has more than {MAX_CONFIG_DRIVE_BYTES} bytes")]
    TooLarge,
    #[error("partitions {first} and {second} are both called config-2")]
    TwoPartitions { first: u32, second: u32 },
    #[error("partition {number} is called config-2 and has {partition} bytes, the config drive has {drive}")]
    PartitionTooSmall { number: u32, partition: u64, drive: u64 },
    #[error("the MBR has {primaries} primary partitions and no slot for one more")]
    NoSlot { primaries: usize },
    #[error("the partition table has no free entry")]
    NoEntry,
    #[error("there are no {MAX_CONFIG_DRIVE_BYTES} free bytes at the end of the disk")]
    NoRoom,
    #[error("no random number for a partition GUID")]
    Random,
}

/// Takes a config drive as it travels, base64 around gzip around an ISO 9660 image, and gives the ISO's bytes. Plain
/// base64 is taken, too.
///
/// # Errors
///
/// [`ConfigDriveError`]; more than [`MAX_CONFIG_DRIVE_BYTES`] are never inflated.
pub fn decode_config_drive(text: &str) -> Result<Vec<u8>, ConfigDriveError> {
    // Line breaks and other white space, as `base64 -w 76` makes them.
    let compact: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if compact.len() as u64 / 4 * 3 > MAX_CONFIG_DRIVE_BYTES + 4096 {
        return Err(ConfigDriveError::TooLarge);
    }
    let packed = BASE64.decode(&compact).map_err(|source| ConfigDriveError::Base64 { source })?;
    drop(compact);
    let drive = inflate(packed)?;
    check_size(&drive)?;
    Ok(drive)
}

/// Takes a config drive as a URL serves it: base64 as [`decode_config_drive`] takes it, or the bytes themselves, with
/// or without gzip around them.
///
/// # Errors
///
/// [`ConfigDriveError`]; bytes that are no base64 must hold a file system that config drives have.
pub fn decode_served_config_drive(body: Vec<u8>) -> Result<Vec<u8>, ConfigDriveError> {
    let is_text =
        |byte: &u8| byte.is_ascii_whitespace() || byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    match std::str::from_utf8(&body) {
        Ok(text) if body.iter().all(is_text) => return decode_config_drive(text),
        _ => {}
    }
    if body.len() as u64 > MAX_CONFIG_DRIVE_BYTES {
        return Err(ConfigDriveError::TooLarge);
    }
    let drive = inflate(body)?;
    check_size(&drive)?;
    if iso9660::is_iso(&drive) || is_fat(&drive) { Ok(drive) } else { Err(ConfigDriveError::Unknown) }
}

fn inflate(packed: Vec<u8>) -> Result<Vec<u8>, ConfigDriveError> {
    if !packed.starts_with(b"\x1f\x8b") {
        return Ok(packed);
    }
    let mut drive = Vec::new();
    flate2::bufread::MultiGzDecoder::new(&packed[..])
        .take(MAX_CONFIG_DRIVE_BYTES + 1)
        .read_to_end(&mut drive)
        .map_err(|source| ConfigDriveError::Gzip { source })?;
    Ok(drive)
}

/// Whether it begins with the boot sector of a FAT file system.
fn is_fat(drive: &[u8]) -> bool {
    drive.len() >= 512
        && drive[510..512] == [0x55, 0xaa]
        && (drive[54..57] == *b"FAT" || drive[82..85] == *b"FAT")
}

pub(crate) fn check_size(drive: &[u8]) -> Result<(), ConfigDriveError> {
    if drive.is_empty() {
        return Err(ConfigDriveError::Empty);
    }
    if drive.len() as u64 > MAX_CONFIG_DRIVE_BYTES {
        return Err(ConfigDriveError::TooLarge);
    }
    Ok(())
}
