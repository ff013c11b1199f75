use std::time::Duration;

use tacit_blockdev::CommandError;

use super::scsi::{ABORTED_COMMAND, AtaRegisters, Sense};

/// Why a drive did not do what it was told, or did not say what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum DriveError {
    /// Nobody answered, or an NVMe drive with a status other than success.
    #[error("{command} failed")]
    Command { command: &'static str, source: CommandError },
    #[error("{command} was refused: {sense}")]
    Refused { command: &'static str, sense: Sense },
    /// An ATA drive refused.
    #[error(
        "the drive aborted {command} (status {:02x}h, error {:02x}h)", registers.status, registers.error
    )]
    Rejected { command: &'static str, registers: AtaRegisters },
    /// A SCSI status that carries no sense data: busy, task set full, …
    #[error("{command} ended with SCSI status {status:#04x}")]
    Status { command: &'static str, status: u8 },
    #[error("{command} was refused: another initiator has reserved the drive")]
    Reserved { command: &'static str },
    #[error("the answer to {command} makes no sense: {problem}")]
    Malformed { command: &'static str, problem: &'static str },
    #[error("the drive has no {what}")]
    Unsupported { what: &'static str },
    /// Why a method that the drive has cannot be used now.
    #[error("{reason}")]
    Unusable { reason: String },
    /// The drive may still be at work. Nothing else can be done with it until it is done.
    #[error("{operation} did not end within {} s; the drive may still be at work", waited.as_secs())]
    Unfinished { operation: &'static str, waited: Duration },
    /// It does not say any more how far it is.
    #[error("the drive was lost during {operation}; it may still be at work")]
    Lost { operation: &'static str, source: Box<DriveError> },
    /// As was asked, nobody waits for it any more.
    #[error("{operation} goes on in the drive, which nothing can stop")]
    Left { operation: &'static str },
    /// The drive itself says that it failed.
    #[error("{operation} failed: {reason}")]
    Failed { operation: &'static str, reason: String },
    /// The drive said yes, and afterwards is not as it would have to be.
    #[error("{operation} had success, but {finding}")]
    Unproven { operation: &'static str, finding: String },
    /// A command failed and the password that it needs could not be taken away again.
    #[error(
        "the password `{password}` was set for erasing and could not be removed ({why}); remove it with \
         `hdparm --security-unlock {password}` and `--security-disable {password}`"
    )]
    PasswordLeft { password: &'static str, why: String, source: Box<DriveError> },
    #[error("{operation} was cancelled half-way")]
    Cancelled { operation: &'static str },
    #[error("{operation} failed while the kernel wrote to the drive")]
    Content { operation: &'static str, source: tacit_blockdev::Error },
}

impl DriveError {
    /// Whether an ATA drive aborted the command. Not every translation hands the registers on.
    pub(super) fn is_aborted(&self) -> bool {
        match self {
            Self::Rejected { .. } => true,
            Self::Refused { sense, .. } => sense.key == ABORTED_COMMAND,
            _ => false,
        }
    }

    /// Whether nothing came back that could be taken for a no: the next question may have an answer.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Status { .. } => true,
            Self::Command { source, .. } => {
                matches!(source, CommandError::TimedOut | CommandError::Transport { .. })
            }
            _ => false,
        }
    }

    /// What it means when it is the answer to a command that starts something: an answer that was lost says nothing.
    pub(super) fn of_start(self, operation: &'static str) -> Self {
        match self {
            Self::Command { source: CommandError::TimedOut | CommandError::Transport { .. }, .. } => {
                Self::Lost { operation, source: Box::new(self) }
            }
            error => error,
        }
    }

    /// Whether the drive may be at work on its own: nothing else can be tried on it.
    pub(crate) fn still_working(&self) -> bool {
        match self {
            Self::Unfinished { .. } | Self::Lost { .. } | Self::Left { .. } => true,
            Self::Command { source: CommandError::TimedOut, .. } => true,
            Self::PasswordLeft { source, .. } => source.still_working(),
            _ => false,
        }
    }
}
