//! Flows on machines whose agent is IPA: the same flows, steps and history, with another agent at the other end.
//!
//! [`super::steps::Work::run`] asks here first. What IPA cannot do is said, never made up: no progress, no resumption,
//! no cancelling, and no proof, so that no certificate of erasure is ever issued for what it says.

mod driver_info;
mod operate;
mod steps;
mod wait;

pub(super) use driver_info::{medium, settings};
