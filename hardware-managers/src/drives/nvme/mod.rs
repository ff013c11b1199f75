//! NVMe drives: what they tell, how they erase themselves, and their firmware (NVM Express Base Specification 2.1,
//! NVM Command Set Specification 1.1).
//!
//! Nothing here can be cancelled: a drive that began to sanitize goes on across resets and power cycles until it is
//! done, and whoever asks it again joins what it is doing. A deadline or a stop ends the waiting, never the work.

mod admin;
mod controller;
mod erase;
mod fill;
mod firmware;
mod follow;
mod format;
mod namespace;
mod reservations;
mod sanitize;
mod sanitize_log;
mod smart;
#[cfg(test)]
mod tests;

pub(crate) use controller::{Controller, alone};
pub(crate) use erase::erase;
pub(crate) use fill::fill;
pub(crate) use firmware::{Activation, FirmwareSlots, commit, download};
pub(crate) use smart::SmartLog;
