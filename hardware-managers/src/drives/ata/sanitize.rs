//! SANITIZE DEVICE (ACS-5, 7.36).

use tacit_blockdev::Drive;

use super::command::{AtaCommand, AtaTransfer, send};
use super::identify::{identify, plain};
use super::security::recover;
use crate::drives::clock::Wait;
use crate::drives::error::DriveError;
use crate::drives::sanitize::{Overwrite, Sanitize, Stage, percent, until_done};
use crate::drives::scsi::{AtaRegisters, QUICK};

const OPERATION: u8 = 0xb4;
const SANITIZE: &str = "SANITIZE DEVICE";
const STATUS: &str = "SANITIZE STATUS EXT";

/// What an operator can do about a drive whose sanitize is frozen.
pub(super) const FROZEN: &str =
    "the firmware of this machine has frozen the drive's sanitize commands until the next power cycle";

/// A failed operation may be left by clearing it, so that other methods can be tried (count, bit 4).
const FAILURE_MODE: u16 = 0x10;
const INVERT: u16 = 0x80;
const CLEAR_FAILED: u16 = 0x01;

/// What SANITIZE STATUS EXT returns (ACS-5, 7.36.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// The last operation ended without an error.
    pub(super) completed: bool,
    /// How much of 65 536 is done of the one that is under way.
    pub(super) progress: Option<u64>,
    pub(super) frozen: bool,
    /// The last operation failed, and the drive says so.
    pub(super) failed: bool,
}

/// Asks how far the drive is, and changes nothing.
///
/// # Errors
///
/// [`DriveError`]; among others when the translation does not return all registers.
pub(super) fn status(drive: &dyn Drive) -> Result<Status, DriveError> {
    let command = AtaCommand { extended: true, ..plain(STATUS, OPERATION, QUICK) };
    match send(drive, &command, AtaTransfer::None) {
        Ok(registers) => Status::read(&registers),
        Err(DriveError::Rejected { registers, .. }) if registers.lba & 0xff == 1 => {
            Ok(Status { failed: true, ..Status::default() })
        }
        Err(error) => Err(error),
    }
}

impl Status {
    fn read(registers: &AtaRegisters) -> Result<Self, DriveError> {
        let count = registers.count.ok_or(DriveError::Malformed {
            command: STATUS,
            problem: "the translation returns one half of the count only",
        })?;
        Ok(Self {
            completed: count & 0x8000 != 0,
            progress: (count & 0x4000 != 0).then_some(registers.lba & 0xffff),
            frozen: count & 0x2000 != 0,
            failed: false,
        })
    }
}

/// Runs a sanitize operation to its end and returns what the drive reported of it.
///
/// # Errors
///
/// [`DriveError::Failed`] when the drive says so; it was then led out of its failure mode, if it let itself be. Those
/// of [`until_done`], [`DriveError::Unusable`] when frozen or locked, [`DriveError`] otherwise.
pub(crate) fn sanitize(
    drive: &dyn Drive,
    what: Sanitize,
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    what.check()?;
    let mut evidence = settle(drive, wait)?;
    let (crypto, block, overwrite) = identify(drive)?.sanitize();
    let supported = match what {
        Sanitize::Crypto => crypto,
        Sanitize::Block => block,
        Sanitize::Overwrite(_) => overwrite,
    };
    if !supported {
        return Err(DriveError::Unsupported { what: "such sanitize operation" });
    }
    if status(drive)?.frozen {
        return Err(DriveError::Unusable { reason: FROZEN.to_owned() });
    }
    // A drive that is locked refuses; one that is frozen for passwords does not.
    let command = start_command(what);
    send(drive, &command, AtaTransfer::None).map_err(|error| error.of_start(command.name))?;
    evidence.push(format!("{} was accepted", command.name));
    let mut seen = None;
    let took = until_done(command.name, what.deadline(drive.size_bytes(), None), wait, || {
        stage(drive, command.name, &mut seen)
    })
    .inspect_err(|error| leave_failure_mode(drive, error))?;
    if let Some(progress) = seen {
        evidence.push(format!("{STATUS} reported it in progress, the last time {}", percent(progress)));
    }
    evidence.push(format!("{STATUS} reported that it completed without error after {} s", took.as_secs()));
    Ok(evidence)
}

/// Waits for an operation that somebody else began, takes away a password that was left behind, and says so.
///
/// # Errors
///
/// Those of [`until_done`] and [`recover`]; that the operation failed is none.
pub(crate) fn settle(drive: &dyn Drive, wait: &Wait<'_>) -> Result<Vec<String>, DriveError> {
    let mut evidence = Vec::new();
    let (crypto, block, overwrite) = identify(drive)?.sanitize();
    if (crypto || block || overwrite) && status(drive)?.progress.is_some() {
        let worst = Sanitize::Overwrite(Overwrite { passes: 16, ..Overwrite::default() });
        let mut seen = None;
        let deadline = worst.deadline(drive.size_bytes(), None);
        match until_done(SANITIZE, deadline, wait, || stage(drive, SANITIZE, &mut seen)) {
            Ok(_) => evidence
                .push("a sanitize operation that was under way ended before this one began".to_owned()),
            Err(DriveError::Failed { .. }) => {
                evidence.push("a sanitize operation that was under way failed".to_owned());
            }
            Err(error) => return Err(error),
        }
    }
    match recover(drive) {
        Ok(recovered) => evidence.extend(recovered),
        // Sanitize may work all the same; who needs more finds out.
        Err(DriveError::Unusable { reason }) => tracing::debug!(%reason, "the password stays"),
        Err(error) => return Err(error),
    }
    Ok(evidence)
}

/// The command that starts an operation; a key keeps it from being started by accident (ACS-5, 7.36.2 to 7.36.4).
fn start_command(what: Sanitize) -> AtaCommand {
    let (name, feature, count, lba) = match what {
        Sanitize::Crypto => ("CRYPTO SCRAMBLE EXT", 0x11, FAILURE_MODE, 0x4372_7970),
        Sanitize::Block => ("BLOCK ERASE EXT", 0x12, FAILURE_MODE, 0x426b_4572),
        Sanitize::Overwrite(how) => {
            let invert = if how.invert { INVERT } else { 0 };
            // 16 passes are a 0.
            let count = FAILURE_MODE | invert | u16::from(how.passes & 0x0f);
            ("OVERWRITE EXT", 0x14, count, 0x4f57 << 32 | u64::from(how.pattern))
        }
    };
    AtaCommand { feature, count, lba, extended: true, ..plain(name, OPERATION, QUICK) }
}

fn stage(drive: &dyn Drive, operation: &'static str, seen: &mut Option<u64>) -> Result<Stage, DriveError> {
    let status = status(drive)?;
    if let Some(progress) = status.progress {
        *seen = Some(progress);
        return Ok(Stage::Working(Some(progress)));
    }
    if status.failed || !status.completed {
        let reason = "the drive reports that it did not complete without error".to_owned();
        return Err(DriveError::Failed { operation, reason });
    }
    Ok(Stage::Done)
}

/// Lets the drive be read and written again, unless it is still at work. What it says to that changes nothing: the
/// operation has failed.
fn leave_failure_mode(drive: &dyn Drive, error: &DriveError) {
    if !matches!(error, DriveError::Failed { .. }) {
        return;
    }
    let command = AtaCommand {
        count: CLEAR_FAILED,
        extended: true,
        ..plain("CLEAR SANITIZE FAILED", OPERATION, QUICK)
    };
    if let Err(error) = send(drive, &command, AtaTransfer::None) {
        tracing::warn!(%error, "the drive stays in its failure mode");
    }
}
