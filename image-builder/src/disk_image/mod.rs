//! Disk images as files: what they are, and their block maps.

mod bytes;
mod describe;
mod error;
mod map;

pub use describe::{BlockMap, DiskImage, describe};
pub use error::DiskImageError;
pub use map::{Made, MapArguments, make_map};
