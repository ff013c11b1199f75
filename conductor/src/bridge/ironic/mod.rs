//! Ironic as a ramdisk sees it: lookup, heartbeat, `continue_inspection`; and, where the bridge is allowed to, the
//! states of nodes. Every answer is bounded in size and time; what it means is told by type.

mod auth;
mod client;
mod nodes;
mod ramdisk;

pub(super) use client::{Ironic, IronicError};
pub(super) use nodes::WaitingNode;
pub(super) use ramdisk::{Beat, Lookup, Token};
