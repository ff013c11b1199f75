use tacit_blockdev::Drive;

use super::clock::{PROGRESS_WHOLE, Wait};
use super::error::DriveError;
use super::sanitize::overwrite_deadline;

/// At most so much at a time: progress shows, and it can be left half-way.
const PIECE: u64 = 1 << 30;

/// Discards everything through the kernel, which knows how much a drive takes with one command. `operation` is what
/// the drive calls it. Returns how many bytes that were.
///
/// # Errors
///
/// [`DriveError::Cancelled`], [`DriveError::Unfinished`], [`DriveError::Content`].
pub(super) fn discard_all(
    drive: &dyn Drive,
    operation: &'static str,
    wait: &Wait<'_>,
) -> Result<u64, DriveError> {
    let failed = |source| DriveError::Content { operation, source };
    let size = drive.size_bytes();
    let deadline = overwrite_deadline(size);
    let start = wait.clock.now();
    let mut at = 0;
    while at < size {
        let waited = wait.clock.now().saturating_sub(start);
        if waited > deadline {
            return Err(DriveError::Unfinished { operation, waited });
        }
        if (wait.cancelled)() {
            return Err(DriveError::Cancelled { operation });
        }
        let piece = PIECE.min(size - at);
        drive.discard(at, piece).map_err(failed)?;
        at += piece;
        let share = u128::from(at) * u128::from(PROGRESS_WHOLE) / u128::from(size);
        (wait.progress)(u64::try_from(share).unwrap_or(PROGRESS_WHOLE));
    }
    drive.flush().map_err(failed)?;
    Ok(size)
}
