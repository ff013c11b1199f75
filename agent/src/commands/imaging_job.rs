//! Imaging as a part of the running operation: its progress, its wish to stop, and the moment when a disk is touched.

use tacit_blockdev::Device;
use tacit_imaging::{Observer, Target, TargetError};
use tacit_protocol::v2::{Progress, ProgressUnit};

use crate::jobs::JobContext;

/// Tells the operation's progress.
pub(super) struct ImagingObserver<'a> {
    pub(super) job: &'a JobContext,
    pub(super) device: String,
}

impl Observer for ImagingObserver<'_> {
    fn progress(&self, progress: &tacit_imaging::Progress) {
        self.job.progress(Progress {
            step: "write_image".to_owned(),
            stage: progress.stage.to_owned(),
            device: Some(self.device.clone()),
            done: progress.source_bytes,
            total: progress.source_total,
            unit: ProgressUnit::Bytes,
            source_bytes: progress.source_bytes,
            source_total: progress.source_total,
            target_bytes: progress.target_bytes,
            target_total: progress.target_total,
            rate_bytes_per_s: progress.rate.map(|rate| rate as f64),
            eta_seconds: progress.eta.map(|eta| eta.as_secs_f64()),
            retries: progress.retries,
        });
    }

    fn cancelled(&self) -> bool {
        self.job.cancelled()
    }
}

/// A disk whose first change is noted in the journal before it happens.
pub(super) struct WatchedDisk<'a> {
    pub(super) device: Device,
    pub(super) job: &'a JobContext,
}

impl Target for WatchedDisk<'_> {
    fn describe(&self) -> String {
        Target::describe(&self.device)
    }

    fn size_bytes(&self) -> u64 {
        self.device.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.device.logical_sector()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        Target::read_at(&self.device, offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        self.job.touch_disk()?;
        Target::write_at(&self.device, offset, buf)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.job.touch_disk()?;
        Target::zero(&self.device, offset, len)
    }

    fn deallocate(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.job.touch_disk()?;
        Target::deallocate(&self.device, offset, len)
    }

    fn flush(&self) -> Result<(), TargetError> {
        Target::flush(&self.device)
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Target::reread_partition_table(&self.device)
    }
}
