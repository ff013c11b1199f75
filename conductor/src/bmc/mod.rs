//! Baseboard management controllers: power, boot device and virtual media of one machine.
//!
//! Owns the Redfish [`Client`] with its waits, retries and vendors' peculiarities, and the `manual` interface for machines without a BMC. A call returns when the BMC *reports* the state that was asked for,
//! not when it accepted the request. It refuses to follow a BMC to another origin, to fall back to unverified TLS, and
//! to show a password or a session token in a log line or an error.

mod auth;
mod boot;
mod client;
mod dell;
mod discovery;
mod driver_info;
mod errors;
mod exchange;
mod identity;
mod insert;
mod machine;
mod manual;
mod media;
mod messages;
mod patch;
mod power;
mod resource;
mod tasks;
mod timing;
mod tls;

pub use boot::BootTarget;
pub use client::Client;
pub use driver_info::{AuthType, ConnectionInfo, VerifyCa};
pub use errors::{BmcError, BmcErrorKind};
pub use identity::SystemIdentity;
pub use machine::Bmc;
pub use messages::{ErrorBody, Message};
pub use power::PowerState;
pub use timing::{RetryPolicy, Timing};
