//! Erasing whole devices, as probe → plan → execute → prove (NIST SP 800-88r2).
//!
//! The plan is a pure function of what the drive says ([`DriveFacts`](crate::drives::DriveFacts)), of what the guards
//! find and of what the operator wants. Nothing counts as erased because a drive said so: marks that were readable
//! before must be gone afterwards, through a device that was opened anew.

mod canary;
mod control;
mod error;
mod execute;
mod express;
mod findings;
mod fleet;
mod join;
mod method;
mod methods;
mod noise;
mod plan;
mod policy;
mod pstore;
mod reach;
mod recheck;
mod source;
mod step;
mod survey;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use execute::Job;
pub(crate) use policy::Policy;
pub(crate) use recheck::{Scope, take};
pub(crate) use source::{DriveSource, MachineDrives};
pub(crate) use step::STEPS;
pub(crate) use survey::{Surveyed, list, probe};
