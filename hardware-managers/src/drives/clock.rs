//! Time, as far as waiting for a drive needs it.

use std::time::{Duration, Instant};

/// A clock that can be waited with. Tests have one that is advanced by waiting.
pub(crate) trait Clock: Send + Sync {
    /// Since some moment in the past; never goes back.
    fn now(&self) -> Duration;

    fn pause(&self, time: Duration);
}

/// The machine's own clock.
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Instant,
}

impl SystemClock {
    pub(crate) fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn pause(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Whole of what [`Wait::progress`] counts.
pub(crate) const PROGRESS_WHOLE: u64 = 65_536;

/// How to wait for a drive that works on its own.
#[derive(Clone, Copy)]
pub(crate) struct Wait<'a> {
    pub(crate) clock: &'a dyn Clock,
    /// Hears how far the drive says that it is, of [`PROGRESS_WHOLE`].
    pub(crate) progress: &'a dyn Fn(u64),
    /// Asked where a drive can be left half-way, between the commands of an unmap, and where it goes on without anybody
    /// who waits, once a sanitize operation has begun.
    pub(crate) cancelled: &'a dyn Fn() -> bool,
}
