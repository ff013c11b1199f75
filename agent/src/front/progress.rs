//! How far it is, on standard error: one line that is drawn anew on a terminal, a line now and then elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tacit_hardware::StepObserver;
use tacit_model::ProgressUnit;

use super::output::piece;
use super::words::size;

const PLAIN_INTERVAL: Duration = Duration::from_secs(10);
const LIVE_INTERVAL: Duration = Duration::from_millis(200);

/// Shows progress, and passes the wish to stop on.
pub(super) struct Display {
    stop: Arc<AtomicBool>,
    live: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Stage and text of each device.
    devices: BTreeMap<String, (String, String)>,
    last: Option<Instant>,
    drawn: bool,
}

impl Display {
    pub(super) fn new(stop: Arc<AtomicBool>) -> Self {
        Self { stop, live: io::stderr().is_terminal(), state: Mutex::default() }
    }

    /// Takes the line away.
    pub(super) fn finish(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.drawn {
            piece("\r\x1b[K");
        }
    }

    fn show(&self, state: &mut State, new_stage: bool) {
        let interval = if self.live { LIVE_INTERVAL } else { PLAIN_INTERVAL };
        if !new_stage && state.last.is_some_and(|last| last.elapsed() < interval) {
            return;
        }
        state.last = Some(Instant::now());
        let line = state.devices.iter().map(|(device, (_, text))| format!("{device} {text}"));
        let line = line.collect::<Vec<_>>().join("   ");
        if self.live {
            state.drawn = true;
            piece(&format!("\r\x1b[K{line}"));
        } else {
            piece(&format!("{line}\n"));
        }
    }
}

impl StepObserver for Display {
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, unit: ProgressUnit) {
        let percent = if total == 0 { 100 } else { u128::from(done) * 100 / u128::from(total) };
        let text = match unit {
            ProgressUnit::Bytes => format!("{stage} {percent} % of {}", size(total)),
            _ => format!("{stage} {percent} %"),
        };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.devices.insert(device.to_owned(), (stage.to_owned(), text));
        self.show(&mut state, before.is_none_or(|(last, _)| last != stage));
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}
