//! `tacit bridge`: stock Ironic drives agents that never call.
//!
//! Owns what an agent would say to Ironic if it could: lookup, heartbeat, `continue_inspection`. Polls the agents at
//! the addresses that it knows and says it for them. As a *relay* it tells Ironic where the agent is, and Ironic calls
//! it there; as a *reverse proxy* it passes on what Ironic calls, and serves the images over lent connections. Refuses
//! to tell Ironic of an agent that is not the one that it was: what a restart has lost becomes a failure, never a step
//! that was skipped. Writes no disk of a node, and knows no BMC. `docs/bridge.md` is for operators.

mod asking;
mod commands;
mod config;
mod contact;
mod credential;
mod discovery;
mod drive;
mod handle;
mod ironic;
mod judge;
mod keep;
mod leader;
mod lending;
mod lost;
mod metrics;
mod proxy;
mod restart;
mod roll;
mod run;
mod secret;
mod sending;
mod serve;
mod session;
mod shared;
mod status;
mod tokens;

pub use config::{BridgeConfig, ConfigError};
pub use run::{Addresses, Bridge};
pub use shared::BridgeError;
