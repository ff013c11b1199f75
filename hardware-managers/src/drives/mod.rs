//! What drives say of themselves and what they can be told, in their own protocols.
//!
//! [`identify`] asks, and changes nothing. Whatever a drive answers is taken for what it is: a claim, of a length
//! that nobody has checked.

mod ata;
mod clock;
mod discard;
mod erase;
mod error;
mod facts;
mod fields;
mod identify;
pub(crate) mod nvme;
mod opal;
mod sanitize;
mod scsi;
#[cfg(any(test, feature = "simulators"))]
pub mod simulated;

pub(crate) use clock::{Clock, PROGRESS_WHOLE, SystemClock, Wait};
pub(crate) use erase::{EraseOptions, erase, settle};
pub(crate) use error::DriveError;
pub(crate) use facts::{
    Capacity, DriveFacts, DriveHealth, DriveKind, EraseCapability, EraseMethod, Provisioning, Reservations,
};
#[cfg(test)]
pub(crate) use facts::{SecurityState, TcgState};
pub(crate) use identify::identify;
pub(crate) use sanitize::{LONGEST_ESTIMATE, Sanitize};
