//! How a command fails: IPA's classes with our own facts about the disk and whether a retry helps.

use tacit_protocol::error::{DiskState, OperationError};
use tacit_protocol::v2::OperationState;

/// What a failed command ends as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Failed,
    /// `/v1` shows it as `CLEAN_VERSION_MISMATCH`.
    VersionMismatch,
    Cancelled,
}

/// A failed command.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{error}")]
pub struct CommandError {
    pub error: OperationError,
    pub ending: Ending,
}

/// Number and message of IPA's exception classes (IPA contract §1.7).
const CLASSES: &[(&str, u16, &str)] = &[
    ("InvalidContentError", 400, "Invalid request body"),
    ("CommandExecutionError", 500, "Command execution failed"),
    ("InvalidCommandError", 400, "Invalid command"),
    ("InvalidCommandParamsError", 400, "Invalid command parameters"),
    ("ImageDownloadError", 500, "Error downloading image"),
    ("ImageDownloadTimeoutError", 408, "Image download timeout exceeded"),
    ("ImageChecksumError", 500, "Error verifying image checksum"),
    ("ImageWriteError", 500, "Error writing image to device"),
    ("InvalidImage", 500, "The provided image is not valid for use"),
    ("RequestedObjectNotFoundError", 404, "Not found"),
    ("SystemRebootError", 500, "Error rebooting system"),
    ("BlockDeviceEraseError", 500, "Error erasing block device"),
    ("BlockDeviceError", 500, "Block device caused unknown error"),
    ("HardwareManagerMethodNotFound", 500, "No HardwareManager found to handle method"),
    ("VersionMismatch", 409, "Hardware managers version mismatch, reload agent with correct version"),
    ("CleaningError", 500, "Clean step failed"),
    ("DeploymentError", 500, "Deploy step failed"),
    ("ServicingError", 500, "Service step failed"),
    ("ProtectedDeviceError", 500, "Protected device located, cannot proceed"),
    ("DeviceNotFound", 404, "Error finding the disk or partition device to deploy the image onto"),
    ("TypeError", 500, "Command called with wrong parameters"),
    // The only one that IPA does not have: it keeps no journal.
    ("JournalError", 500, "The operation was not carried out because it could not be recorded"),
];

impl CommandError {
    /// An error of one of IPA's classes; `details` names the thing.
    pub fn new(class: &str, details: impl Into<String>) -> Self {
        let (code, message) = CLASSES
            .iter()
            .find(|(name, ..)| *name == class)
            .map_or((500, "Command execution failed"), |(_, code, message)| (*code, *message));
        Self {
            error: OperationError {
                class: class.to_owned(),
                code,
                message: message.to_owned(),
                details: details.into(),
                retry: false,
                disk: DiskState::Untouched,
                proofs: Vec::new(),
            },
            ending: Ending::Failed,
        }
    }

    /// Any other failure, as IPA wraps it.
    pub fn execution(details: impl Into<String>) -> Self {
        Self::new("CommandExecutionError", details)
    }

    /// Parameters that a command refuses before it starts: HTTP 400, not recorded.
    pub fn invalid_params(details: impl Into<String>) -> Self {
        Self::new("InvalidCommandParamsError", details)
    }

    /// The caller asked to stop.
    pub fn cancelled(details: impl Into<String>) -> Self {
        Self { ending: Ending::Cancelled, ..Self::execution(details) }
    }

    #[must_use]
    pub fn with_disk(mut self, disk: DiskState) -> Self {
        self.error.disk = disk;
        self
    }

    #[must_use]
    pub fn with_retry(mut self, retry: bool) -> Self {
        self.error.retry = retry;
        self
    }

    pub fn state(&self) -> OperationState {
        match self.ending {
            Ending::Failed | Ending::VersionMismatch => OperationState::Failed,
            Ending::Cancelled => OperationState::Cancelled,
        }
    }

    /// An error with its sources, on one line.
    pub fn chain(error: &(dyn std::error::Error + 'static)) -> String {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text.push_str(": ");
            text.push_str(&cause.to_string());
            source = cause.source();
        }
        text
    }
}
