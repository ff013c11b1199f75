//! Config drives.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config_drive::{
    MAX_CONFIG_DRIVE_BYTES, decode_config_drive, decode_served_config_drive, fit_config_drive, is_mountable,
};

/// A config drive: as it travels, as it is served, or (after a zero byte) what its base64 holds.
///
/// # Panics
///
/// When one is accepted that is empty or larger than its partition.
pub fn config_drive(data: &[u8]) {
    let drives = match data {
        [0, packed @ ..] => vec![decode_config_drive(&BASE64_STANDARD.encode(packed))],
        text => vec![
            decode_config_drive(&String::from_utf8_lossy(text)),
            decode_served_config_drive(text.to_vec()),
        ],
    };
    for drive in drives.into_iter().flatten() {
        assert!(!drive.is_empty() && drive.len() as u64 <= MAX_CONFIG_DRIVE_BYTES, "{} bytes", drive.len());
    }
}

/// An ISO 9660 image from its first volume descriptor on, squeezed, made into a FAT file system.
///
/// # Panics
///
/// When what is made is larger than its partition, or cannot be mounted.
pub fn iso(data: &[u8]) {
    let mut image = vec![0; 32 << 10];
    image.extend(super::expand(data));
    for sector in [512, 4096] {
        let fitted = fit_config_drive(image.clone(), sector, true);
        let Ok(fitted) = fitted else { return };
        assert!(fitted.len() as u64 <= MAX_CONFIG_DRIVE_BYTES, "{} bytes", fitted.len());
        assert!(fitted == image || is_mountable(&fitted, sector), "not for sectors of {sector} bytes");
    }
}
