//! `/v2`: what IPA never had. Nothing done here appears in `/v1/commands`.
//!
//! | request | meaning |
//! |---|---|
//! | `GET /v2/status` | [`Status`] |
//! | `PUT /v2/clock` | [`Clock`] in, [`Clock`] (the time now in force) out |
//! | `PUT /v2/operations/{id}` | [`OperationRequest`] in, [`Operation`] out: 201 started, 200 known already, 409 busy or another request under this id |
//! | `GET /v2/operations/{id}` | [`Operation`], 404 |
//! | `GET /v2/operations` | list of [`Operation`] |
//! | `DELETE /v2/operations/{id}` | asks a running operation to stop: 202 [`Operation`] |
//! | `GET /v2/events?after=N&wait=S` | [`EventPage`]: events with a number above N, at once or as soon as there is one, at most S seconds (≤ 60) later |
//! | `GET /v2/ipa` | [`Ipa`]; only of an agent in Ironic's ramdisk, else 404 |
//! | `PUT /v2/ipa` | [`IpaToken`] in, [`Ipa`] out; 409 when the agent has another token |
//! | `POST /v2/lend` with `Upgrade: PTTH/1.0` | 101: from then on the agent is the HTTP client on this connection |
//!
//! Over a lent connection the agent sends requests in absolute form (`GET http://server/image HTTP/1.1`), as to a
//! proxy, with `Range` and `If-Range`; the lender answers those that the running operation needs and refuses all
//! others with 403.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::OperationError;

pub use tacit_model::ProgressUnit;

/// Token of the `Upgrade` header for lent connections (reverse HTTP).
pub const UPGRADE_PTTH: &str = "PTTH/1.0";

/// Who answers and in what state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    /// Of the kernel (`/proc/sys/kernel/random/boot_id`): another value means another boot.
    pub boot_id: String,
    /// Unix time at which this agent process began to serve.
    pub started_at: f64,
    /// Seconds from the start of the kernel to the first answered request, once there was one.
    pub first_answer_uptime: Option<f64>,
    /// Seconds that the agent itself took from its start as PID 1 to listening.
    pub agent_startup_seconds: f64,
    /// Resident memory of the agent in bytes, now and at its highest.
    pub rss_bytes: u64,
    pub rss_peak_bytes: u64,
    pub node_uuid: String,
    pub trust: Trust,
    pub identity: Identity,
    /// Drivers and hardware managers are still being loaded: a command would wait for them.
    #[serde(default)]
    pub preparing: bool,
    /// Id of the operation that is running.
    pub running: Option<String>,
    /// Number of the newest event.
    pub last_event: u64,
}

/// How the agent got the certificate that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Delivered on the node's own medium.
    Media,
    /// Made by the agent itself; the conductor pinned what it saw first. Not done yet: an agent without a medium of its
    /// node stays silent.
    FirstContact,
}

/// What an agent in Ironic's ramdisk knows (`docs/adr/0014-trust-in-ironics-ramdisk.md`). No `Debug`: the token is a secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipa {
    /// `ipa-agent-token` of the boot medium or what a bridge gave; nothing after a network boot.
    pub agent_token: Option<String>,
    /// The token was on the boot medium: Ironic gave it to this machine alone. Not so where it came over the network.
    #[serde(default)]
    pub from_medium: bool,
    /// The certificate that the agent shows, PEM: Ironic's `agent_verify_ca`.
    pub certificate: String,
}

/// The token that Ironic gave to the bridge.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpaToken {
    pub agent_token: String,
}

/// Facts by which a conductor recognises a machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// SMBIOS UUID, lower case.
    pub system_uuid: Option<String>,
    pub serial_number: Option<String>,
    /// Permanent addresses, lower case with colons.
    pub mac_addresses: Vec<String>,
}

/// Unix time in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clock {
    pub unix_time: f64,
}

/// What to run: the same commands and parameters as in `/v1`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperationRequest {
    /// `extension.command`.
    pub command: String,
    #[serde(default)]
    pub params: serde_json::Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    pub id: String,
    pub command: String,
    pub state: OperationState,
    pub result: Option<Value>,
    pub error: Option<OperationError>,
    /// Unix time.
    pub started_at: f64,
    /// Unix time.
    pub finished_at: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl OperationState {
    pub fn is_final(self) -> bool {
        self != Self::Running
    }
}

/// Answer to `GET /v2/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventPage {
    pub boot_id: String,
    pub events: Vec<Event>,
    /// Cursor for the next request.
    pub last: u64,
    /// Events between the cursor and the first one here were dropped (ring buffer).
    pub lost: u64,
}

/// A numbered event; numbers start at 1 with each start of the agent process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub seq: u64,
    /// Unix time.
    pub time: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    #[serde(flatten)]
    pub kind: EventKind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EventKind {
    Started {
        command: String,
    },
    Progress(Progress),
    Finished {
        state: OperationState,
        error: Option<OperationError>,
    },
    /// Not sent yet.
    Log {
        level: String,
        message: String,
    },
    /// An operation waits for a lent connection.
    LendWanted,
}

/// How far a step is. On the average at most four a second, of all devices together; the last of each stage on each device
/// comes at the latest before the operation's end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Step or command that runs, `write_image`.
    pub step: String,
    /// What it does now: `fetch`, `compare`, `write`, `verify`, `reveal`, `wipe`, …
    pub stage: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// How far the stage is, and where it ends if that is known: the figures for a person, both counted in `unit`.
    pub done: u64,
    pub total: Option<u64>,
    pub unit: ProgressUnit,
    /// Bytes of an image's source read so far, and in all where that is known.
    pub source_bytes: u64,
    pub source_total: Option<u64>,
    /// Bytes of an image written so far, and in all where that is known.
    pub target_bytes: u64,
    pub target_total: Option<u64>,
    /// Bytes a second, lately: of an image as it is written, or read back in the stages that only read.
    pub rate_bytes_per_s: Option<f64>,
    /// Seconds until the stage is over at this speed.
    pub eta_seconds: Option<f64>,
    /// How often the source was opened anew.
    pub retries: u32,
}
