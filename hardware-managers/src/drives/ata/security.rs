use std::time::Duration;

use tacit_blockdev::{CommandError, Drive};

use super::identify::identify;
use super::password::{ERASE_UNIT, KNOWN, OURS, disable, erase_unit, set, shown, unlock};
use super::words::EraseTime;
use crate::drives::clock::{PROGRESS_WHOLE, Wait};
use crate::drives::error::DriveError;
use crate::drives::facts::SecurityState;
use crate::drives::sanitize::overwrite_deadline;

/// What an operator can do about a frozen drive.
pub(super) const FROZEN: &str = "the firmware of this machine has frozen the drive's security settings until the \
     next power cycle; to thaw it, suspend the machine to RAM and wake it, or pull out the drive and put it back, or \
     switch off the freeze lock in the firmware's setup";

/// Room for drives that take longer than they say.
const MARGIN: Duration = Duration::from_secs(1800);

/// For how long a drive whose erase failed is asked to take its password back. It may be busy with a reset.
const REMOVAL_TAKES: Duration = Duration::from_secs(600);
/// A drive takes five wrong passwords and then no more until it is power-cycled; that is left to operators.
const REFUSALS: usize = 2;
const REMOVAL_PAUSE: Duration = Duration::from_secs(5);

/// How long a SECURITY ERASE UNIT may take.
pub(super) fn deadline(time: EraseTime, size_bytes: u64) -> Duration {
    match time {
        EraseTime::About(time) => time * 2 + MARGIN,
        EraseTime::MoreThan(time) => overwrite_deadline(size_bytes).max(time * 2 + MARGIN),
        EraseTime::Unspecified => overwrite_deadline(size_bytes),
    }
}

/// Runs SECURITY ERASE UNIT (ACS-5, 7.44) to its end, and returns what the drive showed of it. A password is set for
/// it, because it takes one; on every way out it is removed again, or the error says that it could not be.
///
/// # Errors
///
/// [`DriveError::Unusable`] when the drive is frozen or locked by a password that is not known,
/// [`DriveError::PasswordLeft`], [`DriveError`] otherwise.
pub(crate) fn erase(drive: &dyn Drive, enhanced: bool, wait: &Wait<'_>) -> Result<Vec<String>, DriveError> {
    let mut evidence: Vec<String> = recover(drive)?.into_iter().collect();
    let words = identify(drive)?;
    let security = words.security();
    if !security.supported {
        return Err(DriveError::Unsupported { what: "security erase" });
    }
    if enhanced && !security.enhanced_erase {
        return Err(DriveError::Unsupported { what: "enhanced security erase" });
    }
    check_usable(&security)?;
    if security.enabled {
        evidence.push("a password that was set, but did not lock the drive, was replaced".to_owned());
    }
    let timeout = deadline(words.erase_time(enhanced), drive.size_bytes());
    let start = wait.clock.now();
    let outcome = match set(drive, OURS) {
        // The drive says that it did not take the password. Any other failure may have left it there.
        Err(error) if error.is_aborted() => return Err(error),
        Err(error) => Err(error),
        Ok(()) => erase_unit(drive, OURS, enhanced, timeout),
    };
    if let Err(error) = outcome {
        return Err(undone(drive, error, wait));
    }
    let took = wait.clock.now().saturating_sub(start);
    let mode = if enhanced { "enhanced" } else { "normal" };
    evidence.push(format!("{ERASE_UNIT} ({mode}) had success after {} s", took.as_secs()));
    // A drive that erased itself has no password any more (ACS-5, 4.18.3).
    let after = identify(drive).map(|words| words.security());
    if !matches!(after, Ok(state) if !state.enabled && !state.locked) {
        let finding = match &after {
            Ok(_) => "the password was still set".to_owned(),
            Err(error) => format!("the drive did not answer afterwards ({error})"),
        };
        return Err(undone(drive, DriveError::Unproven { operation: ERASE_UNIT, finding }, wait));
    }
    (wait.progress)(PROGRESS_WHOLE);
    evidence.push("IDENTIFY DEVICE shows that security is not enabled and the drive not locked".to_owned());
    Ok(evidence)
}

/// Unlocks a drive that is locked by a password which this crate or other tools are known to leave behind, and
/// removes that password. Says so when there was one; drives that are not locked stay as they are, unless it was
/// this crate's own password.
///
/// # Errors
///
/// [`DriveError::Unusable`] when none of them fits, or no more can be tried; [`DriveError`] otherwise.
pub(crate) fn recover(drive: &dyn Drive) -> Result<Option<String>, DriveError> {
    let security = identify(drive)?.security();
    if !security.supported || !security.enabled {
        return Ok(None);
    }
    check_usable(&security)?;
    if !security.locked {
        return match disable(drive, OURS) {
            Ok(()) => Ok(Some(format!("the password `{OURS}` that an erase had left behind was removed"))),
            // Somebody else's, and no obstacle.
            Err(error) if error.is_aborted() => Ok(None),
            Err(error) => Err(error),
        };
    }
    for password in KNOWN {
        match unlock(drive, password) {
            Ok(()) => {
                disable(drive, password)?;
                let password = shown(password);
                return Ok(Some(format!("the drive was locked; the password `{password}` was removed")));
            }
            Err(error) if error.is_aborted() => {}
            Err(error) => return Err(error),
        }
    }
    Err(DriveError::Unusable {
        reason: "the drive is locked by a password that is not known; unlock it with `hdparm --security-unlock`, or \
                 with the maker's tool and the master password"
            .to_owned(),
    })
}

fn check_usable(security: &SecurityState) -> Result<(), DriveError> {
    match unusable(security) {
        Some(reason) => Err(DriveError::Unusable { reason: reason.to_owned() }),
        None => Ok(()),
    }
}

/// Why no security command can be given now.
pub(super) fn unusable(security: &SecurityState) -> Option<&'static str> {
    if security.frozen {
        Some(FROZEN)
    } else if security.expired {
        Some("too many wrong passwords were tried on the drive; it takes no more until it is power-cycled")
    } else {
        None
    }
}

/// Takes the password away after a failure, and returns the failure.
fn undone(drive: &dyn Drive, error: DriveError, wait: &Wait<'_>) -> DriveError {
    let start = wait.clock.now();
    let mut refusals = 0;
    loop {
        let removed = remove(drive);
        let waited = wait.clock.now().saturating_sub(start);
        refusals += usize::from(removed.as_ref().is_err_and(DriveError::is_aborted));
        match removed {
            // It answers and holds no password: it is not erasing any more.
            Ok(()) => return ended(error),
            Err(why) if waited >= REMOVAL_TAKES || refusals >= REFUSALS || is_gone(&why) => {
                return DriveError::PasswordLeft {
                    password: OURS,
                    why: why.to_string(),
                    source: Box::new(error),
                };
            }
            Err(_) => wait.clock.pause(REMOVAL_PAUSE),
        }
    }
}

fn remove(drive: &dyn Drive) -> Result<(), DriveError> {
    let security = identify(drive)?.security();
    if !security.enabled {
        return Ok(());
    }
    if security.locked {
        unlock(drive, OURS)?;
    }
    disable(drive, OURS)?;
    if identify(drive)?.security().enabled {
        return Err(DriveError::Unproven {
            operation: "SECURITY DISABLE PASSWORD",
            finding: "the password is still set".to_owned(),
        });
    }
    Ok(())
}

fn ended(error: DriveError) -> DriveError {
    match error {
        DriveError::Command { command, source: CommandError::TimedOut } => DriveError::Failed {
            operation: command,
            reason: "it did not end in time, and was cut off by a reset".to_owned(),
        },
        error => error,
    }
}

fn is_gone(error: &DriveError) -> bool {
    // ENXIO, ENODEV.
    matches!(error, DriveError::Command { source: CommandError::Transport { source }, .. }
        if matches!(source.raw_os_error(), Some(6 | 19)))
}
