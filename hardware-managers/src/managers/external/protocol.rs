//! The lines that an agent and an external manager exchange; `protocol.schema.json` says the same for those who write
//! in another language.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tacit_model::{ArgInfo, DevicePlan, ProgressUnit, Proof};

use super::super::devices::{DeviceAnswer, DeviceKind, InventoryPart};

/// Version of the protocol. Another one is another language.
pub(super) const PROTOCOL: u32 = 1;

/// What a manager is asked: one line on its standard input, and the word as its first argument.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    Describe {},
    Evaluate {},
    Initialize {},
    Inventory {
        part: InventoryPart,
        found: Value,
    },
    FilterDevice {
        kind: DeviceKind,
        devices: Vec<Value>,
    },
    Steps {
        node: Value,
        ports: Value,
    },
    PlanStep {
        step: String,
        node: Value,
        ports: Value,
        args: Map<String, Value>,
    },
    RunStep {
        step: String,
        node: Value,
        ports: Value,
        args: Map<String, Value>,
    },
    /// On the standard input of a `run_step` under way.
    Cancel {},
}

/// What a manager says: lines on its standard output, progress first, an answer last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "message", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Message {
    Description(Description),
    Support {
        level: u32,
    },
    Initialized {},
    Inventory {
        part: InventoryPart,
        value: Value,
    },
    Devices {
        devices: Vec<DeviceAnswer>,
    },
    Steps {
        steps: Vec<OfferedStep>,
    },
    Plan {
        step: String,
        plan: Vec<DevicePlan>,
    },
    Progress(ProgressReport),
    Result {
        step: String,
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        proofs: Vec<Proof>,
    },
    Error(Failure),
    /// Not this manager's: the next one is asked.
    Unsupported {},
}

/// What a manager is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    pub(super) protocol: u32,
    pub(super) name: String,
    pub(super) version: String,
    /// Lists of devices that it wants to filter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) filters: Vec<DeviceKind>,
    /// Parts of the inventory that it knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) inventory: Vec<InventoryPart>,
    /// Whether it wants to be told to initialise.
    #[serde(default)]
    pub(super) initialize: bool,
}

/// A step, for all families at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OfferedStep {
    pub(super) step: String,
    pub(super) interface: String,
    /// Priorities; absent where the step is not offered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) clean: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) deploy: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<i32>,
    /// Whether it may change what is on a device: then it has to prove what it did.
    pub(super) destructive: bool,
    #[serde(default)]
    pub(super) abortable: bool,
    /// How long after a request to stop it may take for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stop_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) timeout_seconds: Option<u64>,
    #[serde(default)]
    pub(super) reboot_requested: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) argsinfo: BTreeMap<String, ArgInfo>,
}

/// How far a step is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressReport {
    pub(super) stage: String,
    #[serde(default)]
    pub(super) device: String,
    pub(super) done: u64,
    pub(super) total: u64,
    #[serde(default)]
    pub(super) unit: ProgressUnit,
}

/// Why a request was not met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failure {
    pub(super) details: String,
    /// Whether the same request may succeed later.
    #[serde(default)]
    pub(super) retry: bool,
    /// Whether a device was changed. Silence means yes for a destructive step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) touched: Option<bool>,
}

impl Request {
    /// The word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Describe {} => "describe",
            Self::Evaluate {} => "evaluate",
            Self::Initialize {} => "initialize",
            Self::Inventory { .. } => "inventory",
            Self::FilterDevice { .. } => "filter_device",
            Self::Steps { .. } => "steps",
            Self::PlanStep { .. } => "plan_step",
            Self::RunStep { .. } => "run_step",
            Self::Cancel {} => "cancel",
        }
    }

    /// What is in the second argument, for programs that read no JSON.
    pub(super) fn subject(&self) -> Option<&str> {
        match self {
            Self::Inventory { part, .. } => Some(part.key()),
            Self::FilterDevice { kind, .. } => Some(kind.word()),
            Self::PlanStep { step, .. } | Self::RunStep { step, .. } => Some(step),
            _ => None,
        }
    }

    /// The line that is sent.
    pub(super) fn line(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Envelope<'a> {
            protocol: u32,
            #[serde(flatten)]
            request: &'a Request,
        }
        let mut line = serde_json::to_vec(&Envelope { protocol: PROTOCOL, request: self })
            .expect("a request is text, numbers and JSON values only");
        line.push(b'\n');
        line
    }
}

impl Message {
    /// The word for it.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Description(_) => "description",
            Self::Support { .. } => "support",
            Self::Initialized {} => "initialized",
            Self::Inventory { .. } => "inventory",
            Self::Devices { .. } => "devices",
            Self::Steps { .. } => "steps",
            Self::Plan { .. } => "plan",
            Self::Progress(_) => "progress",
            Self::Result { .. } => "result",
            Self::Error(_) => "error",
            Self::Unsupported {} => "unsupported",
        }
    }
}
