//! Turns counts of bytes into progress events with rate and ETA: few, however many devices and stages there are.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tacit_protocol::v2::{Progress, ProgressUnit};

/// From event to event, on the average over all devices.
const INTERVAL: Duration = Duration::from_millis(250);
/// How many first and last words may come before their time. Those after them wait until it has come.
const BURST: u32 = 64;
/// How many stages of devices are followed. Above that, those that were silent for longest are forgotten.
const TRACKS: usize = 256;
/// The rate is that of this window.
const WINDOW: Duration = Duration::from_secs(4);
/// A rate over less than this is noise.
const SHORTEST: Duration = Duration::from_millis(200);

/// Throttle and rates of one operation.
#[derive(Debug, Default)]
pub struct ProgressMeter {
    tracks: Vec<Track>,
    /// How many reports there were.
    reports: u64,
    /// When the next event is due.
    due: Option<Instant>,
}

/// A stage of a step on a device.
#[derive(Debug, Default)]
struct Track {
    step: String,
    stage: String,
    device: Option<String>,
    /// Number of the last report.
    number: u64,
    last_done: u64,
    /// When it was at what figure, an interval apart.
    samples: VecDeque<(Instant, u64)>,
    sent_at: Option<Instant>,
    sent: Option<Figures>,
    /// What was reported last, while it is not sent.
    held: Option<Progress>,
    /// It is the first or the last word.
    urgent: bool,
}

/// What makes a report another one than that before.
type Figures = (u64, Option<u64>, u64, u32);

fn figures(progress: &Progress) -> Figures {
    (progress.done, progress.total, progress.target_bytes, progress.retries)
}

impl ProgressMeter {
    /// Takes a report, completes it with rate and ETA unless it brings its own, and returns the events that are due,
    /// in their order: those of the device that waited longest. The first word about a stage on a device and the last
    /// are not kept waiting, unless there are very many.
    pub fn update(&mut self, now: Instant, progress: Progress) -> Vec<Progress> {
        self.reports += 1;
        let number = self.reports;
        let track = self.track(&progress);
        track.number = number;
        track.report(now, progress);
        std::iter::from_fn(|| self.next(now)).collect()
    }

    /// The last words that were not sent so far, at the end of the operation.
    pub fn rest(&mut self) -> Vec<Progress> {
        let mut tracks = std::mem::take(&mut self.tracks);
        tracks.sort_by_key(|track| track.number);
        tracks.into_iter().filter(Track::has_news).filter_map(|track| track.held).collect()
    }

    fn track(&mut self, progress: &Progress) -> &mut Track {
        let mut found = None;
        for (at, track) in self.tracks.iter_mut().enumerate() {
            if track.device != progress.device {
                continue;
            }
            if track.stage == progress.stage && track.step == progress.step {
                found = Some(at);
            } else if track.has_news() {
                // What waits of another stage of this device was the last word about it.
                track.urgent = true;
            } else {
                track.held = None;
            }
        }
        if found.is_none() && self.tracks.len() == TRACKS {
            let silent =
                self.tracks.iter().enumerate().min_by_key(|(_, track)| (track.has_news(), track.number));
            let silent = silent.map(|(at, _)| at).expect("there are tracks");
            self.tracks.swap_remove(silent);
        }
        let at = found.unwrap_or_else(|| {
            self.tracks.push(Track {
                step: progress.step.clone(),
                stage: progress.stage.clone(),
                device: progress.device.clone(),
                ..Track::default()
            });
            self.tracks.len() - 1
        });
        &mut self.tracks[at]
    }

    fn next(&mut self, now: Instant) -> Option<Progress> {
        let early = self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        let waiting = || self.tracks.iter().enumerate().filter(|(_, track)| track.held.is_some());
        let urgent = waiting().filter(|(_, track)| track.urgent).min_by_key(|(_, track)| track.number);
        let (at, _) = match urgent {
            Some(urgent) if early < INTERVAL * BURST => urgent,
            _ if early.is_zero() => waiting().min_by_key(|(_, track)| (track.sent_at, track.number))?,
            _ => return None,
        };
        self.due = Some(now + early + INTERVAL);
        let track = &mut self.tracks[at];
        track.urgent = false;
        track.sent_at = Some(now);
        track.sent = track.held.as_ref().map(figures);
        track.held.take()
    }
}

impl Track {
    fn report(&mut self, now: Instant, mut progress: Progress) {
        let begins = self.samples.is_empty();
        let ends = progress.total == Some(progress.done) && self.last_done < progress.done;
        self.urgent |= begins || ends;
        if progress.done < self.last_done {
            self.samples.clear();
        }
        self.last_done = progress.done;
        if self.samples.back().is_none_or(|(last, _)| now.saturating_duration_since(*last) >= INTERVAL) {
            self.samples.push_back((now, progress.done));
        }
        // One sample at or before the window's begin stays: the window is never shorter than it could be.
        while self.samples.len() > 2 && now.saturating_duration_since(self.samples[1].0) >= WINDOW {
            self.samples.pop_front();
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
        self.held = Some(progress);
    }

    /// Units a second over the window.
    fn rate(&self, now: Instant) -> Option<f64> {
        let (since, from) = *self.samples.front()?;
        let passed = now.saturating_duration_since(since);
        (passed >= SHORTEST).then(|| self.last_done.saturating_sub(from) as f64 / passed.as_secs_f64())
    }

    /// Whether something waits that is not what was sent last.
    fn has_news(&self) -> bool {
        self.held.as_ref().is_some_and(|held| self.sent != Some(figures(held)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bytes: u64) -> Progress {
        Progress { stage: "write".into(), done: bytes, total: Some(1000), ..Progress::default() }
    }

    fn on(device: usize, stage: &str, bytes: u64) -> Progress {
        Progress { device: Some(device.to_string()), stage: stage.into(), ..at(bytes) }
    }

    impl ProgressMeter {
        /// The only event that is due.
        fn only(&mut self, now: Instant, progress: Progress) -> Option<Progress> {
            let mut due = self.update(now, progress);
            assert!(due.len() <= 1, "{due:?}");
            due.pop()
        }
    }

    #[test]
    fn four_a_second_with_rate_and_eta() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let first = meter.only(start, at(0)).unwrap();
        assert_eq!((first.rate_bytes_per_s, first.eta_seconds), (None, None));
        assert!(meter.only(start + Duration::from_millis(100), at(10)).is_none());
        let progress = meter.only(start + Duration::from_secs(1), at(100)).unwrap();
        assert_eq!(progress.rate_bytes_per_s, Some(100.0));
        assert_eq!(progress.eta_seconds, Some(9.0));
        let sent = (1..=4000)
            .filter(|ms| meter.only(start + Duration::from_millis(1000 + ms), at(100 + ms / 10)).is_some());
        assert_eq!(sent.count(), 16);
    }

    #[test]
    fn a_burst_or_a_pause_moves_the_rate_only_within_the_window() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let at_second = |second: u64| start + Duration::from_secs(second);
        for second in 0..=10 {
            meter.only(at_second(second), at(second * 10));
        }
        let stalled = meter.only(at_second(12), at(100)).unwrap();
        assert_eq!(stalled.rate_bytes_per_s, Some(5.0));
        assert_eq!(stalled.eta_seconds, Some(180.0));
        meter.only(at_second(14), at(100));
        let dead = meter.only(at_second(17), at(100)).unwrap();
        assert_eq!((dead.rate_bytes_per_s, dead.eta_seconds), (Some(0.0), None));
    }

    #[test]
    fn the_end_and_a_new_stage_are_told_at_once_and_a_stage_counts_for_itself() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        assert!(meter.only(start, at(0)).is_some());
        assert!(meter.only(start + Duration::from_millis(1), at(1000)).is_some());
        assert!(meter.only(start + Duration::from_millis(2), at(1000)).is_none());
        let verify = |done| Progress { stage: "verify".into(), ..at(done) };
        assert!(meter.only(start + Duration::from_millis(3), verify(0)).is_some());
        let later = meter.only(start + Duration::from_millis(1003), verify(200)).unwrap();
        assert_eq!(later.rate_bytes_per_s, Some(200.0));
    }

    #[test]
    fn regions_have_no_rate_in_bytes_and_own_figures_stay() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let regions = |done| Progress { unit: ProgressUnit::Regions, total: Some(8), ..at(done) };
        meter.only(start, regions(0));
        let progress = meter.only(start + Duration::from_secs(1), regions(2)).unwrap();
        assert_eq!((progress.rate_bytes_per_s, progress.eta_seconds), (None, Some(3.0)));
        let own = Progress { rate_bytes_per_s: Some(7.0), eta_seconds: Some(1.0), ..regions(4) };
        let told = meter.only(start + Duration::from_secs(2), own).unwrap();
        assert_eq!((told.rate_bytes_per_s, told.eta_seconds), (Some(7.0), Some(1.0)));
    }

    #[test]
    fn each_of_many_devices_has_its_rate_and_all_have_their_turn() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let mut told = vec![Vec::new(); 24];
        // Each tells twice a second for a minute, one after the other, at 1 to 24 units a second.
        for tick in 0..120 {
            for device in 0..24 {
                let now = start + Duration::from_millis(500 * tick + 20 * device as u64);
                let done = tick * (device as u64 + 1) / 2;
                for progress in meter.update(now, on(device, "overwrite", done)) {
                    let device: usize = progress.device.as_ref().unwrap().parse().unwrap();
                    told[device].push(progress);
                }
            }
        }
        let count: usize = told.iter().map(Vec::len).sum();
        assert!((200..=4 * 60 + BURST as usize).contains(&count), "{count}");
        for (device, told) in told.iter().enumerate() {
            assert!(told.len() >= 6, "{device}: {}", told.len());
            for progress in &told[1..] {
                let rate = progress.rate_bytes_per_s.unwrap();
                assert!((rate - (device as f64 + 1.0)).abs() <= 0.5, "{device}: {rate}");
                assert!(progress.eta_seconds.is_some());
            }
        }
    }

    #[test]
    fn no_last_word_is_lost() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let mut told = Vec::new();
        for stage in ["overwrite", "zeros", "verify", "canary"] {
            for done in [0, 500, 1000] {
                for device in 0..24 {
                    told.extend(meter.update(start, on(device, stage, done)));
                }
            }
        }
        assert_eq!(told.len(), BURST as usize);
        told.extend(meter.rest());
        assert!(meter.rest().is_empty());
        for device in 0..24 {
            let name = Some(device.to_string());
            let of: Vec<_> = told.iter().filter(|progress| progress.device == name).collect();
            for stage in ["overwrite", "zeros", "verify", "canary"] {
                let last = of.iter().rposition(|progress| progress.stage == stage);
                assert_eq!(of[last.unwrap()].done, 1000, "{device} {stage}");
                assert!(of[last.unwrap() + 1..].iter().all(|later| later.stage != stage));
            }
        }
        // A stage that is given up half-way has a last word, too.
        let mut meter = ProgressMeter::default();
        meter.update(start, on(0, "sanitize", 0));
        assert!(meter.update(start, on(0, "sanitize", 10)).is_empty());
        let told: Vec<_> = meter.update(start, on(0, "overwrite", 0));
        assert_eq!(told.iter().map(|progress| progress.done).collect::<Vec<_>>(), [10, 0]);
    }

    #[test]
    fn a_new_stage_in_each_line_floods_nobody() {
        let mut meter = ProgressMeter::default();
        let start = Instant::now();
        let told: usize = (0..20_000)
            .map(|line| meter.update(start + Duration::from_millis(line), on(0, &line.to_string(), 0)).len())
            .sum();
        assert!(told <= 4 * 20 + BURST as usize + 1, "{told}");
        assert!(meter.tracks.len() <= TRACKS);
        let rest = meter.rest();
        assert!(rest.len() <= TRACKS);
        assert_eq!(rest.last().unwrap().stage, "19999");
    }
}
