//! Virtual media for BMCs: per-node boot media under unguessable paths.
//!
//! Serves `/media/<token>.iso` with ranges, as BMCs that stream a medium need it (boot contract §A.7), and nothing
//! else: what is not registered does not exist. Keeps for each medium when and how much of it was fetched, the only
//! sign of life before the agent answers. Never learns what is in a medium.

mod ranges;
mod server;
mod watch;

pub use ranges::{Body, BoxError, Content, RangeRead, empty, full};
pub use server::{MediaError, MediaServer, new_token};
pub use watch::MediaAccess;
