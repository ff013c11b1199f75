//! What sanitize operations have in common, whatever protocol they are started by.

use std::time::Duration;

use tacit_blockdev::CommandError;

use super::clock::{PROGRESS_WHOLE, Wait};
use super::error::DriveError;

/// A sanitize operation (SBC-5, 4.11; ACS-5, 4.17).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sanitize {
    Crypto,
    Block,
    Overwrite(Overwrite),
}

/// How an overwrite is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Overwrite {
    /// 1 to 16; ATA has no more.
    pub(crate) passes: u8,
    pub(crate) pattern: u32,
    /// Each pass writes the complement of the one before.
    pub(crate) invert: bool,
}

impl Default for Overwrite {
    fn default() -> Self {
        Self { passes: 1, pattern: 0, invert: false }
    }
}

/// No drive tells how long its sanitize takes. This slow, in bytes per second, a drive may be before it is given up.
const SLOWEST: u64 = 20_000_000;
const CRYPTO_TAKES: Duration = Duration::from_secs(3600);
const BLOCK_TAKES: Duration = Duration::from_secs(4 * 3600);
const MARGIN: Duration = Duration::from_secs(3600);
/// A drive that says that it takes longer is not believed.
pub(crate) const LONGEST_ESTIMATE: Duration = Duration::from_secs(30 * 24 * 3600);

impl Sanitize {
    /// After which time a drive of that size will not end any more. `estimate` is what it says itself.
    pub(super) fn deadline(self, size_bytes: u64, estimate: Option<Duration>) -> Duration {
        let own = match self {
            Self::Crypto => CRYPTO_TAKES,
            Self::Block => BLOCK_TAKES,
            Self::Overwrite(how) => overwrite_deadline(size_bytes).saturating_mul(how.passes.max(1).into()),
        };
        let estimate = estimate.filter(|estimate| *estimate <= LONGEST_ESTIMATE);
        own.max(estimate.unwrap_or_default().saturating_mul(2))
    }

    /// Passes, as the fields of commands hold them.
    ///
    /// # Errors
    ///
    /// [`DriveError::Unusable`] for none, or for more than 16.
    pub(super) fn check(self) -> Result<(), DriveError> {
        match self {
            Self::Overwrite(Overwrite { passes, .. }) if !(1..=16).contains(&passes) => {
                Err(DriveError::Unusable { reason: format!("an overwrite has 1 to 16 passes, not {passes}") })
            }
            _ => Ok(()),
        }
    }
}

/// For one pass over a drive.
pub(super) fn overwrite_deadline(size_bytes: u64) -> Duration {
    MARGIN + Duration::from_secs(size_bytes / SLOWEST)
}

/// What a drive says when it is asked how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// How much of 65 536 is done, where it says so.
    Working(Option<u64>),
    Done,
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A bus that is reset, or a drive that is too busy to answer, is asked again so many times.
const FRUITLESS: usize = 5;

/// Asks a drive that is at work until it is done; returns how long that took.
///
/// # Errors
///
/// [`DriveError::Failed`] when the drive says so. All others leave it at work: [`DriveError::Unfinished`] at the
/// deadline, [`DriveError::Left`], [`DriveError::Lost`] when it does not answer several times in a row, or with
/// something else.
pub(super) fn until_done(
    operation: &'static str,
    deadline: Duration,
    wait: &Wait<'_>,
    mut ask: impl FnMut() -> Result<Stage, DriveError>,
) -> Result<Duration, DriveError> {
    let start = wait.clock.now();
    let (mut pause, mut fruitless) = (FIRST_PAUSE, 0);
    loop {
        let waited = wait.clock.now().saturating_sub(start);
        match ask() {
            Ok(Stage::Done) => {
                (wait.progress)(PROGRESS_WHOLE);
                return Ok(waited);
            }
            Ok(Stage::Working(progress)) => {
                fruitless = 0;
                if let Some(progress) = progress {
                    (wait.progress)(progress.min(PROGRESS_WHOLE));
                }
            }
            Err(error) if fruitless < FRUITLESS && may_pass(&error) => fruitless += 1,
            Err(error @ DriveError::Failed { .. }) => return Err(error),
            Err(error) => return Err(DriveError::Lost { operation, source: Box::new(error) }),
        }
        if (wait.cancelled)() {
            return Err(DriveError::Left { operation });
        }
        if waited >= deadline {
            return Err(DriveError::Unfinished { operation, waited });
        }
        wait.clock.pause(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Whether the next question may have an answer.
fn may_pass(error: &DriveError) -> bool {
    match error {
        DriveError::Command { source: CommandError::TimedOut, .. } | DriveError::Status { .. } => true,
        DriveError::Command { source: CommandError::Transport { source }, .. } => {
            !matches!(source.raw_os_error(), Some(nix::libc::ENODEV | nix::libc::ENXIO))
        }
        _ => false,
    }
}

/// `37 %`.
pub(super) fn percent(progress: u64) -> String {
    format!("{} %", progress.min(PROGRESS_WHOLE) * 100 / PROGRESS_WHOLE)
}
