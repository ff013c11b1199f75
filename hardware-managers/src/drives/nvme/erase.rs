use tacit_blockdev::Drive;

use super::format::format;
use super::sanitize::sanitize;
use crate::drives::sanitize::Overwrite;
use crate::drives::{DriveError, EraseMethod, Sanitize, Wait};

/// Erases by one of the methods of NVMe and waits for the end. Returns what was done and what the drive says of it, a
/// line each; nothing of that is a proof. `others` are the numbers of the other namespaces of the drive that the caller
/// has erased, too; what would reach any besides is refused.
///
/// # Errors
///
/// [`DriveError`]; see [`DriveError::still_working`] for whether anything else may be tried.
pub(crate) fn erase(
    drive: &dyn Drive,
    method: EraseMethod,
    overwrite: Overwrite,
    others: &[u32],
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    let what = match method {
        EraseMethod::NvmeSanitizeCrypto => Sanitize::Crypto,
        EraseMethod::NvmeSanitizeBlock => Sanitize::Block,
        EraseMethod::NvmeSanitizeOverwrite => Sanitize::Overwrite(overwrite),
        EraseMethod::NvmeFormatCrypto => return format(drive, true, others, wait),
        EraseMethod::NvmeFormatUser => return format(drive, false, others, wait),
        _ => return Err(DriveError::Unsupported { what: "method of NVMe of this name" }),
    };
    sanitize(drive, what, others, wait)
}
