//! Waiting for a sanitize operation by its log.

use std::time::Duration;

use tacit_blockdev::{CommandError, Drive};

use super::sanitize::{LEAVE_MEDIA_VERIFICATION, send_sanitize};
use super::sanitize_log::{SanitizeLog, SanitizeState};
use crate::drives::DriveError;
use crate::drives::Wait;

/// How often the log is read: at first as often as a crypto erase deserves.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// For how long the drive may be out of reach: a controller may take two minutes for a reset.
const SILENCE: Duration = Duration::from_secs(180);
/// For how long the log may tell of the operation before.
const STALE: Duration = Duration::from_secs(30);

pub(super) const SANITIZING: &str = "the sanitize operation";
pub(super) const READING: &str = "reading the sanitize log";

/// The limits of one wait, on the clock of a [`Wait`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline {
    started: Duration,
    limit: Duration,
}

impl Deadline {
    pub(super) fn new(limit: Duration, wait: &Wait<'_>) -> Self {
        Self { started: wait.clock.now(), limit }
    }

    pub(super) fn waited(&self, wait: &Wait<'_>) -> Duration {
        wait.clock.now().saturating_sub(self.started)
    }

    pub(super) fn left(&self, wait: &Wait<'_>) -> Duration {
        self.limit.saturating_sub(self.waited(wait))
    }
}

/// Waits until no sanitize operation is under way and returns the log of the most recent one. With `command`, that
/// one must be the operation that this command dword 10 started.
///
/// # Errors
///
/// [`DriveError::Unfinished`], [`DriveError::Lost`] and [`DriveError::Left`] leave the operation under way; [`DriveError::Unproven`] when
/// the log never tells of it.
pub(super) fn follow(
    drive: &dyn Drive,
    command: Option<u32>,
    deadline: &Deadline,
    wait: &Wait<'_>,
) -> Result<SanitizeLog, DriveError> {
    let began = wait.clock.now();
    let mut heard = began;
    let mut pause = FIRST_PAUSE;
    loop {
        match SanitizeLog::read(drive) {
            Ok(log) => {
                heard = wait.clock.now();
                let ours = command.is_none_or(|command| log.command == command);
                match log.state {
                    SanitizeState::Running => {
                        if log.verifying_media {
                            leave_media_verification(drive);
                        }
                        (wait.progress)(log.progress.into());
                    }
                    _ if ours => return Ok(log),
                    _ if heard.saturating_sub(began) >= STALE => return Err(not_started()),
                    _ => {}
                }
            }
            Err(source) => {
                let silence = wait.clock.now().saturating_sub(heard);
                if is_gone(&source) || silence >= SILENCE {
                    let source = Box::new(DriveError::Command { command: READING, source });
                    return Err(DriveError::Lost { operation: SANITIZING, source });
                }
            }
        }
        let left = deadline.left(wait);
        if left.is_zero() {
            return Err(DriveError::Unfinished { operation: SANITIZING, waited: deadline.waited(wait) });
        }
        if (wait.cancelled)() {
            return Err(DriveError::Left { operation: SANITIZING });
        }
        wait.clock.pause(pause.min(left));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

pub(super) fn not_started() -> DriveError {
    let finding = "the drive's log tells of no operation like the one that was started".to_owned();
    DriveError::Unproven { operation: SANITIZING, finding }
}

/// The kernel removed the device; the same file never leads to it again.
fn is_gone(error: &CommandError) -> bool {
    // ENXIO, ENODEV.
    matches!(error, CommandError::Transport { source } if matches!(source.raw_os_error(), Some(6 | 19)))
}

/// Somebody else started an operation that stops for an inspection of the medium. It ends when it is told to.
fn leave_media_verification(drive: &dyn Drive) {
    if let Err(error) = send_sanitize(drive, LEAVE_MEDIA_VERIFICATION, 0) {
        tracing::warn!(%error, "the drive stays in the media verification state");
    }
}
