//! Software RAID (IPA contract §5.6): what a configuration asks for, checked as a whole; the members' partitions,
//! written natively; arrays made by mdadm and believed only as far as sysfs and the superblocks on the disks show them.

mod arrays;
mod config;
mod create;
mod delete;
mod error;
mod identity;
mod job;
mod judge;
mod layout;
mod mdadm;
mod members;
mod parts;
#[cfg(test)]
mod played;
mod prove;
mod start;
mod step;
mod superblock;
mod survey;
mod system_partition;
mod table;

pub(crate) use identity::names;
pub(crate) use parts::all_names;
pub(crate) use start::{start, start_configured};
pub(crate) use step::STEPS;
pub(crate) use system_partition::{Replicas, is_array, replicas, settle};

/// Name of the array that holds the copies of the EFI system partition.
const SYSTEM_PARTITION: &str = "esp";
