//! Sanitize operations (Base 2.1, 5.1.22 and 8.1.24).

use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, NvmeCommand, Transfer};

use super::admin::QUICK;
use super::controller::{Controller, alone};
use super::follow::{Deadline, READING, SANITIZING, follow, not_started};
use super::sanitize_log::{SanitizeLog, SanitizeState};
use crate::drives::sanitize::Overwrite;
use crate::drives::{DriveError, EraseMethod, Sanitize, Wait};

const SANITIZE: u8 = 0x84;
/// SANACT of the operations that erase nothing.
const EXIT_FAILURE_MODE: u32 = 1;
pub(super) const LEAVE_MEDIA_VERIFICATION: u32 = 5;
const INVERT: u32 = 1 << 8;
/// Generic status "Sanitize In Progress".
const IN_PROGRESS: (u8, u8) = (0, 0x1d);

/// What a drive is in after a sanitize operation that failed.
pub(super) const FAILURE_MODE: &str =
    "a sanitize operation failed, and the drive takes nothing but another one until one succeeds";

/// One of each kind.
pub(super) const KINDS: [Sanitize; 3] = [
    Sanitize::Crypto,
    Sanitize::Block,
    Sanitize::Overwrite(Overwrite { passes: 1, pattern: 0, invert: false }),
];

/// SANACT.
pub(super) fn action(what: Sanitize) -> u32 {
    match what {
        Sanitize::Block => 2,
        Sanitize::Overwrite(_) => 3,
        Sanitize::Crypto => 4,
    }
}

pub(super) fn method(what: Sanitize) -> EraseMethod {
    match what {
        Sanitize::Crypto => EraseMethod::NvmeSanitizeCrypto,
        Sanitize::Block => EraseMethod::NvmeSanitizeBlock,
        Sanitize::Overwrite(_) => EraseMethod::NvmeSanitizeOverwrite,
    }
}

fn name(what: Sanitize) -> &'static str {
    match what {
        Sanitize::Crypto => "sanitize (crypto erase)",
        Sanitize::Block => "sanitize (block erase)",
        Sanitize::Overwrite(_) => "sanitize (overwrite)",
    }
}

/// Command dwords 10 and 11. Unrestricted exit (AUSE) stays off: a drive that failed must not be usable as if nothing
/// had happened. So does the media verification state, in which it would wait for us. No-Deallocate stays off, too:
/// drives may inhibit it or change the medium afterwards all the same (NODMMAS), and what is read back then proves no
/// more.
fn command(what: Sanitize) -> [u32; 2] {
    match what {
        Sanitize::Overwrite(how) => {
            // 16 is written as 0.
            let passes = u32::from(how.passes) % 16;
            [action(what) | passes << 4 | if how.invert { INVERT } else { 0 }, how.pattern]
        }
        _ => [action(what), 0],
    }
}

/// Sanitizes the whole drive and waits for the end. Returns what was done and what the drive says of it, a line each;
/// nothing of that is a proof.
///
/// An operation of the same kind that is already under way, started by whomever, is joined and not started again;
/// one of another kind is waited for first. The host cannot cancel a sanitize operation, and the drive goes on after
/// resets and power cycles: nothing but its end stops it, and the deadline, which depends on the size of the drive
/// and on what it says itself, only ends the waiting.
///
/// All namespaces of the drive are reached. `others` are the numbers of those that the caller has erased, too; a drive
/// that has any besides, attached to this machine or not, is refused.
///
/// # Errors
///
/// [`DriveError`]; see [`DriveError::still_working`] for whether anything else may be tried.
pub(crate) fn sanitize(
    drive: &dyn Drive,
    what: Sanitize,
    others: &[u32],
    wait: &Wait<'_>,
) -> Result<Vec<String>, DriveError> {
    what.check()?;
    let controller = Controller::read(drive)?;
    if !controller.can_sanitize(what) {
        return Err(DriveError::Unsupported { what: "such sanitize operation" });
    }
    alone(drive, name(what), others)?;
    let mut lines = Vec::new();
    let before = read_log(drive)?;
    let estimate = before.estimated_seconds(what).map(Duration::from_secs);
    let deadline = Deadline::new(what.deadline(drive.size_bytes(), estimate), wait);
    if before.state == SanitizeState::Running {
        lines.push("joined a sanitize operation that was already under way".to_owned());
        let log = follow(drive, None, &deadline, wait)?;
        if before.is_kind(what) {
            return judge(&log, lines);
        }
        lines.push("it was of another kind".to_owned());
    }
    let [dword10, dword11] = command(what);
    lines.push(match what {
        Sanitize::Overwrite(how) => format!("{}, {} passes", name(what), how.passes),
        _ => name(what).to_owned(),
    });
    if start(drive, dword10, dword11, name(what))? {
        lines.push("joined a sanitize operation that somebody else had just started".to_owned());
    }
    let log = follow(drive, Some(dword10), &deadline, wait)?;
    judge(&log, lines)
}

/// Waits for a sanitize operation that is under way and brings the drive out of failure mode, so that other commands
/// are taken.
///
/// # Errors
///
/// [`DriveError::Unusable`] when only another, successful sanitize operation ends the failure mode.
pub(super) fn settle(
    drive: &dyn Drive,
    controller: &Controller,
    deadline: &Deadline,
    wait: &Wait<'_>,
) -> Result<(), DriveError> {
    if !controller.sanitizes() {
        return Ok(());
    }
    let mut log = read_log(drive)?;
    if log.state == SanitizeState::Running {
        log = follow(drive, None, deadline, wait)?;
    }
    if log.state == SanitizeState::Failed {
        // Granted only to operations that were started with AUSE, which ours are not.
        send_sanitize(drive, EXIT_FAILURE_MODE, 0)
            .map_err(|_| DriveError::Unusable { reason: FAILURE_MODE.to_owned() })?;
    }
    Ok(())
}

pub(super) fn read_log(drive: &dyn Drive) -> Result<SanitizeLog, DriveError> {
    SanitizeLog::read(drive).map_err(|source| DriveError::Command { command: READING, source })
}

/// Whether the drive was already at it. The answer is not waited for: the operation goes on in the background.
fn start(drive: &dyn Drive, dword10: u32, dword11: u32, command: &'static str) -> Result<bool, DriveError> {
    match send_sanitize(drive, dword10, dword11) {
        Ok(()) => Ok(false),
        Err(CommandError::Nvme { code_type, code, .. }) if (code_type, code) == IN_PROGRESS => Ok(true),
        // The answer was lost, with the command or without it. Sent once more it could be one operation too many;
        // the log knows.
        Err(CommandError::TimedOut | CommandError::Transport { .. }) => Ok(false),
        Err(source) => Err(DriveError::Command { command, source }),
    }
}

pub(super) fn send_sanitize(drive: &dyn Drive, dword10: u32, dword11: u32) -> Result<(), CommandError> {
    let command = NvmeCommand {
        opcode: SANITIZE,
        namespace: 0,
        dwords: [dword10, dword11, 0, 0, 0, 0],
        timeout: QUICK,
    };
    drive.nvme(&command, Transfer::None).map(drop)
}

fn judge(log: &SanitizeLog, mut lines: Vec<String>) -> Result<Vec<String>, DriveError> {
    match log.state {
        SanitizeState::Completed => lines.push("the drive's log: sanitize completed".to_owned()),
        SanitizeState::CompletedDeallocated => {
            lines.push("the drive's log: sanitize completed, and deallocated unasked".to_owned());
        }
        SanitizeState::Failed => {
            let reason = format!("the drive says so, after {} complete passes", log.passes);
            return Err(DriveError::Failed { operation: SANITIZING, reason });
        }
        SanitizeState::Never | SanitizeState::Running | SanitizeState::Unknown(_) => {
            return Err(not_started());
        }
    }
    lines.push(if log.erased {
        "the drive's log: nothing was written since (global data erased)".to_owned()
    } else {
        "the drive's log does not say that nothing was written since".to_owned()
    });
    Ok(lines)
}
