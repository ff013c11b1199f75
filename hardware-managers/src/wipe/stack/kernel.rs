//! The few requests that take a stack down, behind a trait so that tests can play the kernel.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use tacit_blockdev::Error;

use crate::machine::Roots;

/// What the kernel is asked to do.
pub(in crate::wipe) trait Kernel: Sync {
    /// # Errors
    ///
    /// As [`tacit_blockdev::swap_off`].
    fn swap_off(&self, path: &Path) -> Result<(), Error>;

    /// Stops the array with this device node.
    ///
    /// # Errors
    ///
    /// As [`tacit_blockdev::stop_array`].
    fn stop_array(&self, node: &Path) -> Result<(), Error>;

    /// # Errors
    ///
    /// As [`tacit_blockdev::remove_mapped_device`].
    fn remove_mapped_device(&self, number: (u64, u64)) -> Result<(), Error>;

    /// Writes to an attribute of sysfs.
    ///
    /// # Errors
    ///
    /// Whatever the attribute answers.
    fn write_attribute(&self, path: &Path, value: &str) -> io::Result<()>;

    /// How long something may take to vanish after the kernel said that it stops.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }
}

/// The one that runs.
#[derive(Clone, Debug)]
pub(in crate::wipe) struct RunningKernel {
    control: PathBuf,
}

impl RunningKernel {
    pub(in crate::wipe) fn new(roots: &Roots) -> Self {
        Self { control: roots.dev.join("mapper/control") }
    }
}

impl Kernel for RunningKernel {
    fn swap_off(&self, path: &Path) -> Result<(), Error> {
        tacit_blockdev::swap_off(path)
    }

    fn stop_array(&self, node: &Path) -> Result<(), Error> {
        tacit_blockdev::stop_array(node)
    }

    fn remove_mapped_device(&self, number: (u64, u64)) -> Result<(), Error> {
        tacit_blockdev::remove_mapped_device(&self.control, number)
    }

    fn write_attribute(&self, path: &Path, value: &str) -> io::Result<()> {
        fs::write(path, value)
    }
}
