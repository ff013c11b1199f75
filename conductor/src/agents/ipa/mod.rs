//! The dialler's other dialect: OpenStack's Ironic Python Agent as other people's ramdisks have it.
//!
//! Dials a known address, shows the token only to the machine with the pinned certificate (or to anybody, where the
//! operator said `http`), and speaks `/v1` there. Polls; lends nothing. Believes no answer to be short, quick or well
//! formed. IPA knows no ids of a caller's choice: what was sent is written down before and after, so that a command
//! is found again and never sent twice.

mod client;
mod record;
mod run;
mod settings;

pub(crate) use client::one_line;
pub use client::{IpaClient, IpaStatus};
pub use record::IpaRecord;
pub use run::IpaOperation;
pub use settings::{IpaSettings, SettingsError};
