//! Every type on the wire between conductor and agent, on top of the model.
//!
//! Owns the shapes of `/v1` (IPA's API), `/v2` (events, operations, lent connections), the per-node configuration on
//! the boot medium and the contract between image builder and agent. Does no I/O.

pub mod error;
pub mod image;
pub mod medium;
pub mod network_data;
pub mod ramdisk;
pub mod v1;
pub mod v2;

/// TCP port of the agent's API, IPA's own.
pub const AGENT_PORT: u16 = 9999;
