//! Turns counts of bytes into progress events: at most four a second, with rate and ETA.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tacit_protocol::v2::{Progress, ProgressUnit};

const INTERVAL: Duration = Duration::from_millis(250);
/// The rate is that of this window.
const WINDOW: Duration = Duration::from_secs(4);
/// A rate over less than this is noise.
const SHORTEST: Duration = Duration::from_millis(200);

/// Throttle and rate of one operation.
#[derive(Debug, Default)]
pub struct ProgressMeter {
    /// Of the stage that runs, when it was at what figure.
    samples: VecDeque<(Instant, u64)>,
    last_sent: Option<Instant>,
    /// Stage and device of the last report: another one counts anew.
    last: (String, Option<String>),
}

impl ProgressMeter {
    /// Completes `progress` with rate and ETA, unless it brings its own; `None` while it is too early for another
    /// event. A change of stage or device and the last byte are never too early.
    pub fn update(&mut self, now: Instant, mut progress: Progress) -> Option<Progress> {
        let changed = self.last.0 != progress.stage || self.last.1 != progress.device;
        let complete = progress.total.is_some_and(|total| total == progress.done)
            && self.samples.back().is_some_and(|(_, done)| *done < progress.done);
        let due = self.last_sent.is_none_or(|sent| now.saturating_duration_since(sent) >= INTERVAL);
        if !(changed || complete || due) {
            return None;
        }
        if changed || self.samples.back().is_some_and(|(_, done)| *done > progress.done) {
            self.samples.clear();
        }
        self.samples.push_back((now, progress.done));
        // One sample at or before the window's begin stays: the window is never shorter than it could be.
        while self.samples.len() > 2 && now.saturating_duration_since(self.samples[1].0) >= WINDOW {
            self.samples.pop_front();
        }
        self.last_sent = Some(now);
        if changed {
            self.last = (progress.stage.clone(), progress.device.clone());
        }
        let rate = self.rate(now);
        if progress.rate_bytes_per_s.is_none() && progress.unit == ProgressUnit::Bytes {
            progress.rate_bytes_per_s = rate;
        }
        if progress.eta_seconds.is_none() {
            progress.eta_seconds = match (progress.total, rate) {
                (Some(total), Some(rate)) if rate > 0.0 => {
                    Some(total.saturating_sub(progress.done) as f64 / rate)
                }
                _ => None,
            };
        }
        Some(progress)
    }

    /// Units a second over the window.
    fn rate(&self, now: Instant) -> Option<f64> {
        let (since, from) = *self.samples.front()?;
        let (_, to) = *self.samples.back()?;
        let passed = now.saturating_duration_since(since);
        (passed >= SHORTEST).then(|| to.saturating_sub(from) as f64 / passed.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes: u64) -> Progress {
        Progress { stage: "write".into(), done: bytes, total: Some(1000), ..Progress::default() }
    }

    #[test]
    fn four_a_second_with_rate_and_eta() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let first = meter.update(start, at(0)).unwrap();
        assert_eq!((first.rate_bytes_per_s, first.eta_seconds), (None, None));
        assert!(meter.update(start + Duration::from_millis(100), at(10)).is_none());
        let progress = meter.update(start + Duration::from_secs(1), at(100)).unwrap();
        assert_eq!(progress.rate_bytes_per_s, Some(100.0));
        assert_eq!(progress.eta_seconds, Some(9.0));
        let sent = (1..=4000)
            .filter(|ms| meter.update(start + Duration::from_millis(1000 + ms), at(100 + ms / 10)).is_some());
        assert_eq!(sent.count(), 16);
    }

    #[test]
    fn a_burst_or_a_pause_moves_the_rate_only_within_the_window() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let at_second = |second: u64| start + Duration::from_secs(second);
        for second in 0..=10 {
            meter.update(at_second(second), at(second * 10));
        }
        let stalled = meter.update(at_second(12), at(100)).unwrap();
        assert_eq!(stalled.rate_bytes_per_s, Some(5.0));
        assert_eq!(stalled.eta_seconds, Some(180.0));
        meter.update(at_second(14), at(100));
        let dead = meter.update(at_second(17), at(100)).unwrap();
        assert_eq!((dead.rate_bytes_per_s, dead.eta_seconds), (Some(0.0), None));
    }

    #[test]
    fn the_end_and_a_new_stage_are_told_at_once_and_a_stage_counts_for_itself() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        assert!(meter.update(start, at(0)).is_some());
        assert!(meter.update(start + Duration::from_millis(1), at(1000)).is_some());
        assert!(meter.update(start + Duration::from_millis(2), at(1000)).is_none());
        let verify = |done| Progress { stage: "verify".into(), ..at(done) };
        assert!(meter.update(start + Duration::from_millis(3), verify(0)).is_some());
        let later = meter.update(start + Duration::from_millis(1003), verify(200)).unwrap();
        assert_eq!(later.rate_bytes_per_s, Some(200.0));
    }

    #[test]
    fn regions_have_no_rate_in_bytes_and_own_figures_stay() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let regions = |done| Progress { unit: ProgressUnit::Regions, total: Some(8), ..at(done) };
        meter.update(start, regions(0));
        let progress = meter.update(start + Duration::from_secs(1), regions(2)).unwrap();
        assert_eq!((progress.rate_bytes_per_s, progress.eta_seconds), (None, Some(3.0)));
        let own = Progress { rate_bytes_per_s: Some(7.0), eta_seconds: Some(1.0), ..regions(4) };
        let told = meter.update(start + Duration::from_secs(2), own).unwrap();
        assert_eq!((told.rate_bytes_per_s, told.eta_seconds), (Some(7.0), Some(1.0)));
    }
}
