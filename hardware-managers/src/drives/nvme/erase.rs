use tacit_blockdev::Drive;

use super::format::format;
use super::sanitize::sanitize;
use crate::drives::sanitize::Overwrite;
use crate::drives::{DriveError, EraseMethod, Sanitize, Wait};

/// Erases by one of the methods of NVMe and waits for the end. Returns what was done and what the drive says of it, a
/// line each; nothing of that is a proof. `reach_others` says that the caller knows of the other namespaces of the
/// drive and has them erased, too; without it what would reach them is refused.
///
/// # Errors
///
/// [`DriveError`]; see [`DriveError::still_working`] for whether anything else may be tried.
pub(crate) fn erase(
    drive: &dyn Drive,
    method: EraseMethod,
    overwrite: Overwrite,
    reach_others: bool,
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    let what = match method {
        EraseMethod::NvmeSanitizeCrypto => Sanitize::Crypto,
        EraseMethod::NvmeSanitizeBlock => Sanitize::Block,
        EraseMethod::NvmeSanitizeOverwrite => Sanitize::Overwrite(overwrite),
        EraseMethod::NvmeFormatCrypto => return format(drive, true, reach_others, wait),
        EraseMethod::NvmeFormatUser => return format(drive, false, reach_others, wait),
        _ => return Err(DriveError::Unsupported { what: "method of NVMe of this name" }),
    };
    sanitize(drive, what, reach_others, wait)
}
