//! One open device: how it is opened, read, written, zeroed and scanned again.

mod edges;
mod open;
mod ranges;
mod rescan;
mod transfer;

pub use open::{Access, Device};
