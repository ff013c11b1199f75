//! Block maps (`.bmap`): which blocks of an image hold data, and the sha256 of each range of them.
//!
//! A map is hostile until it was checked: it is bounded in size, its own checksum must be right, and its ranges must
//! ascend within the image. What it does not map is a hole, and a hole reads as zeros.

mod compare;
mod cut;
mod error;
mod make;
mod map;
mod parse;
mod spans;
mod sparse;
mod subset;
mod verify;
mod xml;

pub use compare::{Changed, CompareError, compare};
pub use error::BmapError;
pub use make::{BmapOptions, MakeError, make_bmap};
pub use map::{Bmap, BmapVersion, MappedRange, Sha256};
pub use verify::RangeError;
pub(crate) use verify::RangeVerifier;

#[cfg(test)]
mod tests;
