//! What the kernel has built upon disks, and how it is taken down again: from the top, nothing that is mounted.

mod graph;
mod kernel;
mod release;

pub(crate) use graph::underneath;
pub(super) use graph::{Block, BlockGraph, Kind};
pub(super) use kernel::{Kernel, RunningKernel};
pub(super) use release::{held, obstacle, release};
