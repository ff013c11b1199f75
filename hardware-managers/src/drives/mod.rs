//! What drives say of themselves and what they can be told, in their own protocols.
//!
//! [`identify`] asks, and changes nothing. Whatever a drive answers is taken for what it is: a claim, of a length
//! that nobody has checked.

mod clock;
mod facts;
mod identify;

pub(crate) use clock::{Clock, PROGRESS_WHOLE, SystemClock, Wait};
pub(crate) use facts::{
    Capacity, DriveFacts, DriveHealth, DriveKind, EraseCapability, EraseMethod, Provisioning, Reservations,
    SecurityState, TcgState,
};
pub(crate) use identify::identify;
