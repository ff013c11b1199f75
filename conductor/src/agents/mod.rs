//! The dialler: how the conductor reaches agents that never call.
//!
//! Owns every connection to an agent: it dials a known address, lets nothing out before the machine at the other end
//! has shown the certificate that was made for it, and speaks `/v2` there. Lends connections over which an agent
//! fetches its images. Speaks `/v1` with stock IPA where a node's agent is that (`ipa`). Refuses names (addresses only), proxies, and machines that are not the expected ones. Decides
//! nothing: what to run, and what a failure means for a node, is the flows' business.

mod attempts;
mod backoff;
mod client;
mod dial;
mod error;
mod first_contact;
mod identity;
mod ipa;
mod lend;
mod record;
mod run;
mod v1;

pub(crate) use backoff::Backoff;
pub use client::AgentClient;
pub use error::AgentError;
pub use first_contact::see;
pub use identity::{ExpectedIdentity, check_identity};
pub(crate) use ipa::one_line;
pub use ipa::{IpaClient, IpaOperation, IpaRecord, IpaSettings, IpaStatus, SettingsError};
pub use lend::LendEnd;
pub use record::BootRecord;
pub use run::keep_lent;
