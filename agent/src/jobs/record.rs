//! What is remembered of an operation.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tacit_model::Proof;
use tacit_protocol::error::OperationError;
use tacit_protocol::v1::{Command, CommandStatus};
use tacit_protocol::v2::{Operation, OperationState};

/// Which face of the API an operation came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Front {
    V1,
    V2,
}

/// An operation, running or over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: String,
    pub front: Front,
    /// `extension.command`.
    pub command: String,
    /// What `/v1` shows as `command_name`.
    pub shown_name: String,
    /// Digest of the request, so that an id is not taken for two of them.
    pub request_digest: String,
    pub state: OperationState,
    pub version_mismatch: bool,
    pub result: Option<Value>,
    pub error: Option<OperationError>,
    /// Unix time.
    pub started_at: f64,
    /// Unix time.
    pub finished_at: Option<f64>,
    /// Set just before the first byte is written to a disk.
    pub disk_touched: bool,
    /// What became of the devices that are done, while the operation runs: its result or error has them afterwards.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
}

impl Record {
    pub fn bare_name(&self) -> &str {
        bare_name(&self.command)
    }

    /// As `/v2` shows it.
    pub fn to_operation(&self) -> Operation {
        Operation {
            id: self.id.clone(),
            command: self.command.clone(),
            state: self.state,
            result: self.result.clone(),
            error: self.error.clone(),
            started_at: self.started_at,
            finished_at: self.finished_at,
        }
    }

    /// As `/v1` shows it: five keys, four in the error (IPA contract §1.4).
    pub fn to_command(&self) -> Command {
        Command {
            id: self.id.clone(),
            command_name: self.shown_name.clone(),
            command_status: match self.state {
                OperationState::Running => CommandStatus::Running,
                OperationState::Succeeded => CommandStatus::Succeeded,
                OperationState::Failed if self.version_mismatch => CommandStatus::VersionMismatch,
                OperationState::Failed | OperationState::Cancelled => CommandStatus::Failed,
            },
            command_error: self.error.as_ref().map(|error| {
                json!({
                    "type": error.class, "code": error.code, "message": error.message, "details": error.details,
                })
            }),
            command_result: self.result.clone(),
        }
    }
}

/// `prepare_image` of `standby.prepare_image`.
pub(super) fn bare_name(command: &str) -> &str {
    command.split_once('.').map_or(command, |(_, bare)| bare)
}
