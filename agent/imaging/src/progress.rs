use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::error::Failure;

/// How far writing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// `fetch` until the first bytes are there and checked, `write`, `verify`, `reveal`.
    pub stage: &'static str,
    /// Bytes of the source read so far, and in all where that is known.
    pub source_bytes: u64,
    pub source_total: Option<u64>,
    /// Bytes of the image written so far (those held back included), and in all where that is known.
    pub target_bytes: u64,
    pub target_total: Option<u64>,
    /// How often a source was opened anew after a failure.
    pub retries: u32,
}

/// Who watches, and may stop, a write.
pub trait Observer: Sync {
    /// Called from the writing thread, at most four times a second, and once more at the end. Must not block.
    fn progress(&self, progress: &Progress);
    /// Asked several times a second; once true, writing stops and the disk is left not bootable.
    fn cancelled(&self) -> bool;
}

/// What the fetching thread tells about itself.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) source_bytes: AtomicU64,
    pub(crate) retries: AtomicU32,
}

const INTERVAL: Duration = Duration::from_millis(250);

/// Brings progress to the observer, not too often.
pub(crate) struct Reporter<'a> {
    observer: &'a dyn Observer,
    counters: &'a Counters,
    pub(crate) progress: Progress,
    device: String,
    last: Option<Instant>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(observer: &'a dyn Observer, counters: &'a Counters, device: String) -> Self {
        let progress = Progress { stage: "fetch", ..Progress::default() };
        Self { observer, counters, progress, device, last: None }
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.observer.cancelled()
    }

    pub(crate) fn cancelled_failure(&self) -> Failure {
        Failure::Cancelled { device: self.device.clone() }
    }

    pub(crate) fn report(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.report_now();
        }
    }

    pub(crate) fn report_now(&mut self) {
        self.progress.source_bytes = self.counters.source_bytes.load(Ordering::Relaxed);
        self.progress.retries = self.counters.retries.load(Ordering::Relaxed);
        self.last = Some(Instant::now());
        self.observer.progress(&self.progress);
    }
}
