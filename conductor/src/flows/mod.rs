//! Flows: what a verb of the API sets in motion, step by step, each step's start and end in the store.
//!
//! `plan` says which steps there are (pure), `driver` runs them one after the other and records each start and end,
//! `steps` carries one out. A conductor that died picks every flow up at the step that it had begun: each step may be
//! begun twice, and what runs on an agent is found again by its operation id.

mod address;
mod boot;
mod cleaning;
mod driver;
mod engine;
mod events;
mod image;
mod inspection;
mod ipa;
mod login;
mod plan;
mod power;
mod step_files;
mod steps;
mod validate;
mod verbs;
mod waiting;
mod words;

pub use cleaning::CleaningPolicy;
pub use engine::{Engine, EngineConfig};
pub use events::{NodeEvent, NodeEventPage};
pub use power::PowerTarget;
pub use validate::Validation;
pub use verbs::{ProvisionRequest, VerbError};
