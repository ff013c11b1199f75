//! The engine: accepts verbs, runs one flow a node, tells what happens as numbered events.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::node::Node;

/// Settings of the conductor that flows need.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub hostname: String,
    pub state_dir: PathBuf,
}

/// Body of `PUT /v1/nodes/{ident}/states/provision`, checked for shape by the API.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ProvisionRequest {
    /// `manage`, `inspect`, `provide`, `clean`, `active`, `deploy`, `rebuild`, `deleted`, `undeploy`, `abort`.
    pub target: String,
    /// base64(gzip(ISO9660)) or a URL, as text.
    pub configdrive: Option<String>,
    pub clean_steps: Option<Vec<Map<String, Value>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerTarget {
    On,
    Off,
    SoftOff,
    Reboot,
}

/// Why a verb was not accepted; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// 400
    #[error("{0}")]
    Invalid(String),
    /// 409
    #[error("{0}")]
    Locked(String),
    /// 403
    #[error("{0}")]
    Protected(String),
    /// 500
    #[error("{0}")]
    Internal(String),
}

/// Result of validating one interface of a node.
#[derive(Clone, Debug, Serialize)]
pub struct Validation {
    pub result: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Something that happened to a node, for `tacit node watch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeEvent {
    pub seq: u64,
    /// Unix time.
    pub time: f64,
    /// `state`, `step-started`, `step-finished`, `progress`, `error`, `message`
    pub kind: String,
    pub provision_state: String,
    pub target_provision_state: Option<String>,
    /// Step that runs, when there is one.
    pub step: Option<String>,
    pub message: Option<String>,
    pub progress: Option<tacit_protocol::v2::Progress>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeEventPage {
    pub events: Vec<NodeEvent>,
    /// Cursor for the next request.
    pub last: u64,
}

pub struct Engine {
    #[expect(dead_code, reason = "skeleton")]
    config: EngineConfig,
}

impl Engine {
    /// Carries out a verb: when this returns, the node's state has changed and the work goes on by itself.
    pub async fn provision(self: &Arc<Self>, _node: Uuid, _request: ProvisionRequest) -> Result<(), VerbError> {
        Err(VerbError::Internal("not built yet".into()))
    }

    /// Starts a power action.
    pub async fn power(self: &Arc<Self>, _node: Uuid, _target: PowerTarget) -> Result<(), VerbError> {
        Err(VerbError::Internal("not built yet".into()))
    }

    /// Interface kind to result, in the order of Ironic's answer.
    pub fn validate(&self, _node: &Node) -> Vec<(&'static str, Validation)> {
        Vec::new()
    }

    /// Events of a node with a number above `after`; waits at most `wait` for the first.
    pub async fn events(&self, _node: Uuid, _after: u64, _wait: Duration) -> NodeEventPage {
        NodeEventPage { events: Vec::new(), last: 0 }
    }

    /// Whether a flow or a power action works on the node now.
    pub fn is_locked(&self, _node: Uuid) -> bool {
        false
    }
}
