use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, Transfer};

use super::command::{Failure, QUICK, send, send_once};
use super::sense::{ILLEGAL_REQUEST, NOT_READY, Sense, UNIT_ATTENTION};
use super::supported::{Support, supported};
use crate::drives::clock::Wait;
use crate::drives::error::DriveError;
use crate::drives::sanitize::{Overwrite, Sanitize, Stage, until_done};

const SANITIZE: &str = "SANITIZE";
const OPERATION: u8 = 0x48;
const EXIT_FAILURE_MODE: u8 = 0x1f;

const IMMEDIATE: u8 = 0x80;
/// A failed operation may be left by EXIT FAILURE MODE, so that other methods can be tried.
const UNRESTRICTED_EXIT: u8 = 0x20;

/// Service action of SANITIZE (SBC-5, 5.30).
pub(super) fn service_action(what: Sanitize) -> u8 {
    match what {
        Sanitize::Overwrite(_) => 0x01,
        Sanitize::Block => 0x02,
        Sanitize::Crypto => 0x03,
    }
}

/// Runs a sanitize operation to its end and returns what the drive reported of it.
///
/// # Errors
///
/// [`DriveError::Failed`] when the drive says so; it was then led out of its failure mode, if it let itself be.
/// Those of [`until_done`]; [`DriveError`] otherwise.
pub(crate) fn sanitize(
    drive: &dyn Drive,
    what: Sanitize,
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    what.check()?;
    let mut evidence: Vec<String> = settle(drive, wait)?.into_iter().collect();
    let estimate = match supported(drive, OPERATION, Some(service_action(what)))? {
        Support::No => return Err(DriveError::Unsupported { what: "such sanitize operation" }),
        Support::Yes(estimate) => estimate,
        Support::Unknown => None,
    };
    start(drive, what).map_err(|error| error.of_start(SANITIZE))?;
    evidence.push(format!("SANITIZE, service action {:02x}h, was accepted", service_action(what)));
    let mut seen = None;
    let deadline = what.deadline(drive.size_bytes(), estimate);
    let took = until_done(SANITIZE, deadline, wait, || stage(drive, &mut seen))
        .inspect_err(|error| leave_failure_mode(drive, error))?;
    if let Some(progress) = seen {
        let share = crate::drives::sanitize::percent(progress);
        evidence.push(format!("REQUEST SENSE reported a sanitize in progress, the last time {share}"));
    }
    evidence
        .push(format!("REQUEST SENSE and TEST UNIT READY reported no failure after {} s", took.as_secs()));
    Ok(evidence)
}

/// Waits for an operation that somebody else began, and says so when there was one.
///
/// # Errors
///
/// Those of [`until_done`]; that the operation failed is none.
pub(crate) fn settle(drive: &dyn Drive, wait: &Wait<'_>) -> Result<Option<String>, DriveError> {
    match request_sense(drive) {
        Ok(sense) if sense.is_sanitizing() => {}
        // What takes no commands, or answers with something else, sanitizes nothing.
        Ok(_) | Err(DriveError::Malformed { .. }) => return Ok(None),
        Err(DriveError::Command { source: CommandError::NoPassThrough, .. }) => return Ok(None),
        Err(error) => return Err(error),
    }
    let worst = Sanitize::Overwrite(Overwrite { passes: 16, ..Overwrite::default() });
    let mut seen = None;
    let end =
        until_done(SANITIZE, worst.deadline(drive.size_bytes(), None), wait, || stage(drive, &mut seen));
    match end {
        Ok(_) => Ok(Some("a sanitize operation that was under way ended before this one began".to_owned())),
        Err(DriveError::Failed { .. }) => {
            Ok(Some("a sanitize operation that was under way failed".to_owned()))
        }
        Err(error) => Err(error),
    }
}

fn start(drive: &dyn Drive, what: Sanitize) -> Result<(), DriveError> {
    match send_start(drive, what, IMMEDIATE | UNRESTRICTED_EXIT) {
        // Not every drive can promise a way out.
        Err(DriveError::Refused { sense, .. }) if sense.key == ILLEGAL_REQUEST && sense.code.0 == 0x24 => {
            send_start(drive, what, IMMEDIATE)
        }
        outcome => outcome,
    }
}

fn send_start(drive: &dyn Drive, what: Sanitize, flags: u8) -> Result<(), DriveError> {
    let mut cdb = [OPERATION, flags | service_action(what), 0, 0, 0, 0, 0, 0, 0, 0];
    let Sanitize::Overwrite(how) = what else {
        return send(drive, SANITIZE, &cdb, Transfer::None, QUICK).map(|_| ());
    };
    // SBC-5, 5.30.2.2: INVERT and count, length of the pattern, pattern.
    let mut list = [how.passes & 0x1f, 0, 0, 4, 0, 0, 0, 0];
    if how.invert {
        list[0] |= 0x80;
    }
    list[4..].copy_from_slice(&how.pattern.to_be_bytes());
    cdb[8] = list.len() as u8;
    send(drive, SANITIZE, &cdb, Transfer::ToDevice(&list), QUICK).map(|_| ())
}

fn stage(drive: &dyn Drive, seen: &mut Option<u64>) -> Result<Stage, DriveError> {
    let sense = request_sense(drive)?;
    if sense.is_sanitizing() {
        *seen = sense.progress.map(u64::from).or(*seen);
        return Ok(Stage::Working(sense.progress.map(u64::from)));
    }
    failed(&sense)?;
    // REQUEST SENSE may say nothing and the drive be not ready all the same.
    match send_once(drive, "TEST UNIT READY", &[0; 6], Transfer::None, QUICK) {
        Ok(_) => Ok(Stage::Done),
        Err(Failure::Sense(sense)) => {
            failed(&sense)?;
            match sense.key {
                NOT_READY | UNIT_ATTENTION => Ok(Stage::Working(sense.progress.map(u64::from))),
                _ => Err(DriveError::Refused { command: "TEST UNIT READY", sense }),
            }
        }
        Err(Failure::Error(error)) => Err(error),
    }
}

fn failed(sense: &Sense) -> Result<(), DriveError> {
    if sense.is_sanitize_failed() {
        return Err(DriveError::Failed { operation: SANITIZE, reason: sense.to_string() });
    }
    Ok(())
}

/// REQUEST SENSE (SPC-6, 6.39): what the drive is doing, as data of a command that succeeds.
///
/// # Errors
///
/// [`DriveError`].
pub(super) fn request_sense(drive: &dyn Drive) -> Result<Sense, DriveError> {
    const COMMAND: &str = "REQUEST SENSE";
    let mut data = [0; 252];
    let length = send(drive, COMMAND, &[0x03, 0, 0, 0, 252, 0], Transfer::FromDevice(&mut data), QUICK)?;
    Sense::parse(&data[..length]).ok_or(DriveError::Malformed { command: COMMAND, problem: "no sense data" })
}

/// Lets the drive be read and written again, unless it is still at work. What it says to that changes nothing: the
/// operation has failed.
fn leave_failure_mode(drive: &dyn Drive, error: &DriveError) {
    if !matches!(error, DriveError::Failed { .. }) {
        return;
    }
    let cdb = [OPERATION, EXIT_FAILURE_MODE, 0, 0, 0, 0, 0, 0, 0, 0];
    if let Err(error) =
        send(drive, "SANITIZE, EXIT FAILURE MODE", &cdb, Transfer::None, Duration::from_secs(60))
    {
        tracing::warn!(%error, "the drive stays in its failure mode");
    }
}
