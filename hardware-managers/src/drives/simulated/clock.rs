use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::drives::Clock;

/// Time that passes when somebody waits, and not otherwise. Clones are the same clock.
#[derive(Clone, Debug, Default)]
pub struct SimulatedClock {
    nanoseconds: Arc<AtomicU64>,
}

impl SimulatedClock {
    pub fn new() -> Self {
        Self::default()
    }

    /// Since it was made.
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::SeqCst))
    }

    /// Lets time pass.
    pub fn advance(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::SeqCst);
    }
}

impl Clock for SimulatedClock {
    fn now(&self) -> Duration {
        self.elapsed()
    }

    fn pause(&self, time: Duration) {
        self.advance(time);
    }
}
