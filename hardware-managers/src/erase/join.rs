//! Waiting for a sanitize operation that goes on in a drive since before this program began.

use std::time::Duration;

use tacit_blockdev::Drive;
use tacit_model::ProgressUnit;

use super::control::Control;
use super::error::EraseError;
use super::methods::patience;
use crate::drives::{Clock, DriveKind, PROGRESS_WHOLE, identify};

const STAGE: &str = "sanitize that was under way";
const PAUSE: Duration = Duration::from_secs(2);
/// For how long the drive may not answer: a controller may take two minutes for a reset.
const SILENCE: Duration = Duration::from_secs(180);

/// Asks the drive until it says that it is done.
///
/// # Errors
///
/// [`EraseError::Drive`] when it says that it failed, [`EraseError::StillWorking`] at the deadline.
pub(super) fn join(
    drive: &dyn Drive,
    kind: DriveKind,
    clock: &dyn Clock,
    control: &Control,
) -> Result<(), EraseError> {
    let limit = patience(drive.size_bytes(), None);
    let begun = clock.now();
    control.enter(STAGE.to_owned(), limit * 2);
    let mut heard = begun;
    loop {
        let facts = identify(drive, kind);
        if facts.sanitize_unknown {
            // No answer is not the answer that it is done.
            if clock.now().saturating_sub(heard) > SILENCE {
                let problem = facts.unanswered.join("; ");
                let details = format!("the drive does not say any more how far its sanitize is: {problem}");
                return Err(EraseError::StillWorking { details });
            }
        } else if let Some(done) = facts.sanitizing {
            heard = clock.now();
            control.progress(STAGE, done, PROGRESS_WHOLE, ProgressUnit::Share);
        } else {
            control.leave();
            if facts.sanitize_failed {
                let details = "the sanitize operation that was under way failed, the drive says".to_owned();
                return Err(EraseError::Drive { details });
            }
            return Ok(());
        }
        if control.cancelled() {
            let state = "a sanitize operation goes on in the drive, which nothing can stop".to_owned();
            return Err(EraseError::Cancelled { state });
        }
        if clock.now().saturating_sub(begun) > limit {
            let details = "the sanitize operation that was under way does not end".to_owned();
            return Err(EraseError::StillWorking { details });
        }
        clock.pause(PAUSE);
    }
}
