//! `tacit-image write`: a disk image onto a disk, by the same library as the agent's.
//!
//! Refuses disks that anything uses, images that nothing vouches for, and to erase a disk that nobody said yes to.

mod arguments;
mod device;
mod error;
mod inputs;
mod progress;
mod run;

pub use arguments::WriteArguments;
pub use run::run;
