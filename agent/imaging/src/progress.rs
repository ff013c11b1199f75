use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, bounded};

use crate::error::Failure;
use crate::pipeline::TICK;

/// How far writing is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// `fetch` until the first bytes are there and checked, `compare`, `write`, `verify`, `reveal`.
    pub stage: &'static str,
    /// Bytes of the source read so far, and in all where that is known.
    pub source_bytes: u64,
    pub source_total: Option<u64>,
    /// Bytes of the image written so far (those held back included), and in all where that is known.
    pub target_bytes: u64,
    pub target_total: Option<u64>,
    /// How often a source was opened anew after a failure.
    pub retries: u32,
    /// Bytes of the image a second, lately; of what is read back in the stages that only read.
    pub rate: Option<u64>,
    /// Time until the stage's end at this pace, where its length is known.
    pub eta: Option<Duration>,
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
    pub(crate) target_bytes: AtomicU64,
    /// Read from the disk, to compare or to verify.
    pub(crate) read_bytes: AtomicU64,
    pub(crate) retries: AtomicU32,
}

const INTERVAL: Duration = Duration::from_millis(250);
/// How long ago something counts for the rate about a third.
const MEMORY: Duration = Duration::from_secs(3);

/// Brings progress to the observer, not too often.
pub(crate) struct Reporter<'a> {
    observer: &'a dyn Observer,
    counters: &'a Counters,
    pub(crate) progress: Progress,
    device: String,
    last: Option<Instant>,
    source: Pace,
    target: Pace,
}

/// How fast a number grows, lately.
#[derive(Clone, Copy, Default)]
struct Pace {
    value: u64,
    per_second: Option<f64>,
}

impl Pace {
    fn note(&mut self, value: u64, elapsed: Duration) {
        let seconds = elapsed.as_secs_f64().max(1e-6);
        let now = value.saturating_sub(self.value) as f64 / seconds;
        let weight = 1.0 - (-seconds / MEMORY.as_secs_f64()).exp();
        self.per_second = Some(self.per_second.map_or(now, |before| before + weight * (now - before)));
        self.value = value;
    }

    fn until(&self, total: u64) -> Option<Duration> {
        let pace = self.per_second.filter(|pace| *pace >= 1.0)?;
        Duration::try_from_secs_f64(total.saturating_sub(self.value) as f64 / pace).ok()
    }
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(observer: &'a dyn Observer, counters: &'a Counters, device: String) -> Self {
        let progress = Progress { stage: "fetch", ..Progress::default() };
        let (source, target) = (Pace::default(), Pace::default());
        Self { observer, counters, progress, device, last: None, source, target }
    }

    /// A new stage begins, which has a pace of its own.
    pub(crate) fn stage(&mut self, stage: &'static str) {
        self.progress.stage = stage;
        (self.source.per_second, self.target.per_second) = (None, None);
        self.report_now();
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.observer.cancelled()
    }

    pub(crate) fn cancelled_failure(&self) -> Failure {
        Failure::Cancelled { device: self.device.clone() }
    }

    /// Reports until the other ends of a channel are gone.
    pub(crate) fn wait_until_closed(&mut self, channel: &Receiver<()>) -> Result<(), Failure> {
        loop {
            if self.cancelled() {
                return Err(self.cancelled_failure());
            }
            self.report();
            if channel.recv_timeout(TICK) == Err(RecvTimeoutError::Disconnected) {
                return Ok(());
            }
        }
    }

    /// Does `work`, which reads or writes the disk, in a thread of its own and reports meanwhile. It is given what tells
    /// that it was cancelled.
    pub(crate) fn attend<T: Send>(
        &mut self,
        work: impl FnOnce(&(dyn Fn() -> bool + Sync)) -> T + Send,
    ) -> Result<T, Failure> {
        let stop = AtomicBool::new(false);
        let stop = &stop;
        thread::scope(|scope| {
            let (done, all_done) = bounded::<()>(0);
            let working = scope.spawn(move || {
                let result = work(&|| stop.load(Ordering::Relaxed));
                drop(done);
                result
            });
            let waited = self.wait_until_closed(&all_done);
            stop.store(waited.is_err(), Ordering::Relaxed);
            let result = working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            waited.map(|()| result)
        })
    }

    pub(crate) fn report(&mut self) {
        if self.last.is_none_or(|last| last.elapsed() >= INTERVAL) {
            self.report_now();
        }
    }

    pub(crate) fn report_now(&mut self) {
        let progress = &mut self.progress;
        progress.source_bytes = self.counters.source_bytes.load(Ordering::Relaxed);
        progress.target_bytes = self.counters.target_bytes.load(Ordering::Relaxed);
        progress.retries = self.counters.retries.load(Ordering::Relaxed);
        let moved = progress.target_bytes + self.counters.read_bytes.load(Ordering::Relaxed);
        if let Some(last) = self.last {
            self.source.note(progress.source_bytes, last.elapsed());
            self.target.note(moved, last.elapsed());
        }
        progress.rate = self.target.per_second.map(|rate| rate as u64);
        progress.eta = match (progress.stage, progress.source_total, progress.target_total) {
            ("write", Some(total), _) => self.source.until(total),
            ("write", None, Some(total)) => self.target.until(total),
            _ => None,
        };
        self.last = Some(Instant::now());
        self.observer.progress(&self.progress);
    }
}
