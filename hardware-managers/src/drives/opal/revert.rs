use std::time::Duration;

use tacit_blockdev::{CommandError, Drive};

use super::obstacle;
use super::receive::discover;
use crate::drives::clock::{PROGRESS_WHOLE, Wait};
use crate::drives::error::DriveError;
use crate::drives::facts::{DriveKind, TcgState};

const REVERT: &str = "revert by PSID";

/// TCG method status codes (TCG Storage Core 2.01, 5.1.5).
const NOT_AUTHORIZED: i32 = 0x01;
const AUTHORITY_LOCKED_OUT: i32 = 0x12;

/// For how long a drive that was reverted may need to say what has become of it.
const AFTERWARDS: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(1);

/// Reverts a drive to its state of manufacture, which throws away the key of its content, and returns what its
/// discovery shows before and after.
///
/// # Errors
///
/// [`DriveError::Unusable`] where a revert would erase nothing that could be proven (see [`obstacle`]) or the PSID is
/// none, [`DriveError::Failed`] when the drive does not take it, [`DriveError::Unproven`].
pub(crate) fn revert(
    drive: &dyn Drive,
    kind: DriveKind,
    psid: &str,
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    if psid.len() != 32 || !psid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        let reason = "a PSID has 32 letters and digits, as the label of the drive shows them".to_owned();
        return Err(DriveError::Unusable { reason });
    }
    let before = discover(drive, kind)?.ok_or(DriveError::Unsupported { what: "TCG locking feature" })?;
    if let Some(reason) = obstacle(&before) {
        return Err(DriveError::Unusable { reason: reason.to_owned() });
    }
    drive.opal_revert_by_psid(psid).map_err(|source| match source {
        CommandError::Opal { status: NOT_AUTHORIZED } => {
            DriveError::Failed { operation: REVERT, reason: "the drive has another PSID".to_owned() }
        }
        CommandError::Opal { status: AUTHORITY_LOCKED_OUT } => DriveError::Failed {
            operation: REVERT,
            reason: "the PSID was tried too often; power-cycle the drive".to_owned(),
        },
        source => DriveError::Command { command: REVERT, source },
    })?;
    let after = afterwards(drive, kind, wait)?;
    if after.locking_enabled || after.locked {
        let finding = "level 0 discovery still shows locking enabled".to_owned();
        return Err(DriveError::Unproven { operation: REVERT, finding });
    }
    (wait.progress)(PROGRESS_WHOLE);
    Ok(vec![
        "level 0 discovery showed a drive that encrypts, with locking enabled".to_owned(),
        "the drive took its PSID and reverted".to_owned(),
        "level 0 discovery shows that locking is not enabled any more".to_owned(),
    ])
}

/// What the drive says once it answers again.
fn afterwards(drive: &dyn Drive, kind: DriveKind, wait: &Wait<'_>) -> Result<TcgState, DriveError> {
    let start = wait.clock.now();
    loop {
        let over = wait.clock.now().saturating_sub(start) >= AFTERWARDS;
        match discover(drive, kind) {
            Ok(Some(state)) if over || !state.locking_enabled => return Ok(state),
            Ok(None) if over => {
                let finding = "the drive has no locking feature any more".to_owned();
                return Err(DriveError::Unproven { operation: REVERT, finding });
            }
            Err(error) if over => return Err(error),
            _ => wait.clock.pause(PAUSE),
        }
    }
}
