//! The HTTP API: Ironic's paths, shapes and version rules (API contract) for what Tacit serves.
//!
//! Reads never wait for a node's lock. Whatever changes a node's state goes through the engine; this module checks
//! shapes, renders records and refuses with errors that existing clients can read.

mod body;
mod call;
mod collection;
mod conductors;
mod config_drive;
mod drive_image;
mod drivers;
mod erasures;
mod events;
mod fault;
mod history;
mod layers;
mod mask;
mod node_fields;
mod node_filters;
mod node_parts;
mod node_patch;
mod node_view;
mod nodes;
mod patch;
mod port_view;
mod ports;
mod provision;
mod root;
mod router;
mod states;
mod traits;
mod unserved;
mod values;
mod verbs;
mod version;

pub use router::{ApiState, router};
pub use verbs::{Answer, Verbs};
