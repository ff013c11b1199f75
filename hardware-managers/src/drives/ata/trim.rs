use tacit_blockdev::Drive;

use super::identify::identify;
use crate::drives::clock::Wait;
use crate::drives::discard::discard_all;
use crate::drives::error::DriveError;

const TRIM: &str = "TRIM";

/// Trims everything (DATA SET MANAGEMENT; ACS-5, 7.5).
///
/// # Errors
///
/// [`DriveError::Unsupported`], [`DriveError::Cancelled`], [`DriveError::Unfinished`], [`DriveError::Content`].
pub(crate) fn trim(drive: &dyn Drive, wait: &Wait<'_>) -> Result<Vec<String>, DriveError> {
    let (has, zeroes) = identify(drive)?.trim();
    if !has {
        return Err(DriveError::Unsupported { what: TRIM });
    }
    let bytes = discard_all(drive, TRIM, wait)?;
    let promise = if zeroes { "promises zeros" } else { "promises nothing" };
    Ok(vec![format!("TRIM of {bytes} bytes had success; of what was trimmed the drive {promise}")])
}
