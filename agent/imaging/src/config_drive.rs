use std::io::{self, Read};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

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
    let drive = if packed.starts_with(b"\x1f\x8b") {
        let mut drive = Vec::new();
        flate2::bufread::MultiGzDecoder::new(&packed[..])
            .take(MAX_CONFIG_DRIVE_BYTES + 1)
            .read_to_end(&mut drive)
            .map_err(|source| ConfigDriveError::Gzip { source })?;
        drive
    } else {
        packed
    };
    check_size(&drive)?;
    Ok(drive)
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(bytes: &[u8]) -> String {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        BASE64.encode(encoder.finish().unwrap())
    }

    #[test]
    fn packed_plain_and_wrapped_drives_are_decoded() {
        let drive = b"CD001 and so on".repeat(100);
        let text = packed(&drive);
        assert_eq!(decode_config_drive(&text).unwrap(), drive);
        let wrapped: String = text.chars().flat_map(|c| [c, '\n']).collect();
        assert_eq!(decode_config_drive(&wrapped).unwrap(), drive);
        assert_eq!(decode_config_drive(&BASE64.encode(&drive)).unwrap(), drive);
    }

    #[test]
    fn inflating_stops_at_the_limit() {
        let bomb = packed(&vec![0; MAX_CONFIG_DRIVE_BYTES as usize + 1]);
        assert!(bomb.len() < 1 << 20);
        assert!(matches!(decode_config_drive(&bomb), Err(ConfigDriveError::TooLarge)));
        let largest = packed(&vec![0; MAX_CONFIG_DRIVE_BYTES as usize]);
        assert_eq!(decode_config_drive(&largest).unwrap().len() as u64, MAX_CONFIG_DRIVE_BYTES);
    }

    #[test]
    fn damaged_drives_are_refused() {
        assert!(matches!(decode_config_drive("*"), Err(ConfigDriveError::Base64 { .. })));
        assert!(matches!(decode_config_drive(" \n"), Err(ConfigDriveError::Empty)));
        let text = packed(&[5; 5000]);
        assert!(matches!(
            decode_config_drive(&text[..text.len() / 8 * 4]),
            Err(ConfigDriveError::Gzip { .. })
        ));
    }
}
