//! What the conductor hands to agents over lent connections.
//!
//! Owns the list of URLs that one deployment needs and the way from each to its origin: relayed from an image server
//! as it arrives, or read from a file here. Refuses every other URL. Keeps nothing of what passes through, verifies no
//! digests (the agent does) and never lets a broken origin look like the end of an image.

mod allowance;
mod error;
mod file;
mod probe;
mod relay;

pub use allowance::{Allowance, Origin};
pub use error::ImageError;
pub use probe::{ImageFacts, probe};
