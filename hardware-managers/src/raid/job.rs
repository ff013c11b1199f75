//! What every part of a RAID step works with.

use std::sync::atomic::{AtomicBool, Ordering};

use tacit_model::ProgressUnit;

use super::error::RaidError;
use super::mdadm::Md;
use crate::machine::Machine;
use crate::managers::StepObserver;
use crate::wipe::{SkipList, forbidden};

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

    /// Why a device must not be written to, whatever the configuration says.
    pub(super) fn guard(&self, device: &str) -> Option<String> {
        forbidden(self.machine, &self.skip, self.guarded, device)
    }
}
