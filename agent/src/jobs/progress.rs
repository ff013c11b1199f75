//! Turns counts of bytes into progress events: at most four a second, with rate and ETA.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tacit_protocol::v2::Progress;

const INTERVAL: Duration = Duration::from_millis(250);
/// The rate is that of this window.
const WINDOW: Duration = Duration::from_secs(4);

/// Throttle and rate of one operation.
#[derive(Debug, Default)]
pub struct ProgressMeter {
    samples: VecDeque<(Instant, u64)>,
    last_sent: Option<Instant>,
    last_stage: String,
}

impl ProgressMeter {
    /// Completes `progress` with rate and ETA; `None` while it is too early for another event. A change of stage and
    /// the last byte are never too early.
    pub fn update(&mut self, now: Instant, mut progress: Progress) -> Option<Progress> {
        let new_stage = progress.stage != self.last_stage;
        let complete = progress.source_total.is_some_and(|total| total == progress.source_bytes)
            && self.samples.back().is_some_and(|(_, bytes)| *bytes < progress.source_bytes);
        let due = self.last_sent.is_none_or(|sent| now.duration_since(sent) >= INTERVAL);
        if !(new_stage || complete || due) {
            return None;
        }
        if self.samples.back().is_some_and(|(_, bytes)| *bytes > progress.source_bytes) {
            self.samples.clear();
        }
        self.samples.push_back((now, progress.source_bytes));
        while self.samples.len() > 2 && now.duration_since(self.samples[0].0) > WINDOW {
            self.samples.pop_front();
        }
        let (since, from) = self.samples[0];
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds > 0.0 {
            progress.rate = (progress.source_bytes - from) as f64 / seconds;
        }
        progress.eta_seconds = match progress.source_total {
            Some(total) if progress.rate > 0.0 => {
                Some(total.saturating_sub(progress.source_bytes) as f64 / progress.rate)
            }
            _ => None,
        };
        self.last_sent = Some(now);
        self.last_stage.clone_from(&progress.stage);
        Some(progress)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes: u64) -> Progress {
        Progress {
            stage: "write".into(),
            source_bytes: bytes,
            source_total: Some(1000),
            ..Progress::default()
        }
    }

    #[test]
    fn four_a_second_with_rate_and_eta() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        assert!(meter.update(start, at(0)).is_some());
        assert!(meter.update(start + Duration::from_millis(100), at(10)).is_none());
        let progress = meter.update(start + Duration::from_secs(1), at(100)).unwrap();
        assert_eq!(progress.rate, 100.0);
        assert_eq!(progress.eta_seconds, Some(9.0));
    }

    #[test]
    fn the_end_and_a_new_stage_are_told_at_once() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        assert!(meter.update(start, at(0)).is_some());
        assert!(meter.update(start + Duration::from_millis(1), at(1000)).is_some());
        assert!(meter.update(start + Duration::from_millis(2), at(1000)).is_none());
        let verify = Progress { stage: "verify".into(), ..at(1000) };
        assert!(meter.update(start + Duration::from_millis(3), verify).is_some());
    }
}
