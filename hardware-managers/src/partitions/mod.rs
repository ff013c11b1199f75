//! Partition tables as they lie on a disk, read by offset: the kernel's view of them may be old or absent.
//!
//! A table is tenant content. Every number in it is checked against the disk, and the amount of work that it can
//! ask for is bounded.

mod gpt;
mod labels;
mod mbr;
mod scan;

pub(crate) use gpt::read_valid;
pub(crate) use mbr::read_signature;
pub(crate) use scan::{Partition, PartitionKind, Structure, scan, scan_nested};
