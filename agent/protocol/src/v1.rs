//! `/v1`: IPA's API to the letter (IPA contract §1).

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Body of `POST /v1/commands/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CommandRequest {
    /// `extension.command`.
    pub name: String,
    pub params: serde_json::Map<String, Value>,
}

/// A command: exactly these five keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub id: String,
    pub command_name: String,
    pub command_status: CommandStatus,
    pub command_error: Option<Value>,
    pub command_result: Option<Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommandStatus {
    #[serde(rename = "RUNNING")]
    Running,
    #[serde(rename = "SUCCEEDED")]
    Succeeded,
    #[serde(rename = "FAILED")]
    Failed,
    #[serde(rename = "CLEAN_VERSION_MISMATCH")]
    VersionMismatch,
}

/// Body of every answer with a status of 400 and above.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// `Client` or `Server`.
    pub faultcode: String,
    pub faultstring: String,
}
