//! What every part of a RAID step works with.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tacit_blockdev::{Access, Device};
use tacit_model::ProgressUnit;

use super::error::RaidError;
use super::mdadm::Md;
use crate::chain::chain;
use crate::machine::{Machine, is_virtual_medium};
use crate::managers::StepObserver;
use crate::wipe::{SkipList, reserved, survey};

pub(super) struct Raid<'a> {
    pub(super) machine: &'a Machine,
    pub(super) md: &'a dyn Md,
    pub(super) skip: SkipList,
    pub(super) observer: &'a dyn StepObserver,
    /// Whether shared file systems are to be left alone.
    pub(super) guarded: bool,
    pub(super) touched: AtomicBool,
}

impl Raid<'_> {
    /// From here on something may have been written.
    pub(super) fn touch(&self) {
        self.touched.store(true, Ordering::Relaxed);
    }

    /// Tells how far the step is, and ends it where the caller asked for that.
    ///
    /// # Errors
    ///
    /// [`RaidError::Cancelled`].
    pub(super) fn report(
        &self,
        stage: &str,
        device: &str,
        done: usize,
        total: usize,
    ) -> Result<(), RaidError> {
        if self.observer.cancelled() {
            return Err(RaidError::Cancelled { done, total });
        }
        self.observer.progress(stage, device, done as u64, total as u64, ProgressUnit::Regions);
        Ok(())
    }

    /// Why a device must not be written to, whatever the configuration says: a file system that other machines may
    /// have mounted, a unit that they have registered with, or a medium that a controller plays. What cannot be read cannot be judged.
    pub(super) fn guard(&self, device: &str) -> Option<String> {
        let opened = Device::open(&self.machine.device_node(device), Access::Read);
        let found = opened.and_then(|device| match device.size_bytes() {
            0 => Ok(None),
            _ => survey(&device, &self.skip).map(Some),
        });
        match found {
            Err(error) => Some(chain(&error)),
            Ok(None) => None,
            Ok(Some(_)) if is_virtual_medium(&self.folder(device)) => {
                Some(format!("{device} is a virtual medium of the management controller"))
            }
            Ok(Some(found)) if found.parameter_medium => {
                Some(format!("{device} is a virtual medium with parameters"))
            }
            Ok(Some(found)) => found
                .shared
                .filter(|_| self.guarded)
                .map(|content| format!("{device} holds {content}, which other machines may use"))
                .or_else(|| Some(format!("{device}: {}", reserved(self.machine, device)?))),
        }
    }

    fn folder(&self, device: &str) -> PathBuf {
        let name = device.trim_start_matches("/dev/").replace('/', "!");
        self.machine.roots().sys.join("block").join(name)
    }
}
