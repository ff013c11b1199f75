//! The conductor: Ironic's Bare Metal API in front, silent agents behind.
//!
//! Owns the nodes' records, the provisioning state machine and the flows that carry it out. Every connection that it
//! is part of towards a node or its BMC is one that it opened. It never touches a disk itself.

pub mod agents;
pub mod api;
pub mod bmc;
pub mod bridge;
mod chain;
pub mod cli;
pub mod erasure;
pub mod flows;
pub mod hardware_types;
pub mod images;
pub mod media;
pub mod node;
pub mod pki;
pub mod port;
mod secret;
pub mod states;
pub mod store;
