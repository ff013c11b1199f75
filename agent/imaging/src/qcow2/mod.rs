//! qcow2 images, versions 2 and 3, in one sequential pass over the file (QEMU's `docs/interop/qcow2.rst`).
//!
//! [`Image::survey`] reads header, L1 and L2 tables by ranges and keeps a compact map from places in the file to
//! guest clusters. [`Pass`] is then fed with the whole file, from its first byte to its last, and says of every
//! cluster where on the disk it goes, in the order in which clusters come; [`Image::holes`] are the ranges that no
//! cluster holds.
//!
//! The survey's ranges are not under the digest of the file as served, the pass is. So the pass compares the header and
//! the tables with what was surveyed. What [`Image::head`] was made from is not compared: whoever decides something by
//! the head compares it with what the pass gave for the same range before revealing anything.
//!
//! Internal snapshots and saved states of virtual machines are not looked at: the active L1 table is the disk.

mod batch;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod header;
mod map;
mod order;
mod pass;
mod refusal;
mod segment;
mod survey;
mod tables;
#[cfg(test)]
mod tests;
mod watch;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use fuzz::fuzz;
pub use refusal::{Part, Refusal};
pub(crate) use {
    pass::{Pass, PassError},
    refusal::{HeadError, SurveyError},
    survey::Image,
};
