//! What the work on one device tells the step that started it, and what it is told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tacit_model::ProgressUnit;

use super::error::EraseError;

/// How often progress is passed on.
const INTERVAL: Duration = Duration::from_millis(500);
/// How long work that has not said otherwise may be silent. Disks that struggle with a bad sector take a minute, and
/// a kernel tries again several times.
const SILENCE: Duration = Duration::from_secs(600);

/// How far one device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) stage: String,
    pub(crate) done: u64,
    pub(crate) total: u64,
    pub(crate) unit: ProgressUnit,
}

/// The side of the work.
pub(crate) struct Control {
    cancel: AtomicBool,
    touched: AtomicBool,
    state: Mutex<State>,
    report: Box<dyn Fn(Report) + Send + Sync>,
}

#[derive(Debug, Default)]
struct State {
    /// When it has to have given a sign of life. `None` before it begins and after it ended.
    due: Option<Instant>,
    /// What goes on in the drive that nobody can stop.
    inside: Option<String>,
    last: Option<(Instant, String)>,
}

impl Control {
    /// `report` hears how far the work is.
    pub(crate) fn new(report: impl Fn(Report) + Send + Sync + 'static) -> Self {
        Self {
            cancel: AtomicBool::new(false),
            touched: AtomicBool::new(false),
            state: Mutex::default(),
            report: Box::new(report),
        }
    }

    /// The work begins.
    pub(crate) fn begin(&self) {
        self.state().due = Some(Instant::now() + SILENCE);
    }

    /// Whether it is under way.
    pub(crate) fn has_begun(&self) -> bool {
        self.state().due.is_some()
    }

    /// The work is over, whatever came of it.
    pub(crate) fn end(&self) {
        self.state().due = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the work should stop, or that nobody waits for it any more: it does nothing more to the device.
    pub(crate) fn cancel(&self) {
        self.cancel.store(true, Ordering::SeqCst);
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::SeqCst)
    }

    /// To be asked before anything is done to the device.
    ///
    /// # Errors
    ///
    /// [`EraseError::Cancelled`].
    pub(crate) fn go_on(&self, state: &str) -> Result<(), EraseError> {
        if self.cancelled() {
            return Err(EraseError::Cancelled { state: state.to_owned() });
        }
        Ok(())
    }

    /// To be told before the first byte is written or the first command sent.
    pub(crate) fn touch(&self) {
        self.touched.store(true, Ordering::SeqCst);
    }

    pub(crate) fn touched(&self) -> bool {
        self.touched.load(Ordering::SeqCst)
    }

    /// Gives a sign of life without anything to tell.
    pub(crate) fn alive(&self) {
        let mut state = self.state();
        if state.inside.is_none() {
            state.due = Some(Instant::now() + SILENCE);
        }
    }

    /// Gives the sign of life, and tells how far the work is.
    pub(crate) fn progress(&self, stage: &str, done: u64, total: u64, unit: ProgressUnit) {
        let now = Instant::now();
        let mut state = self.state();
        if state.inside.is_none() {
            state.due = Some(now + SILENCE);
        }
        let early = state.last.as_ref().is_some_and(|(at, last)| *at + INTERVAL > now && last == stage);
        if early && done < total {
            return;
        }
        state.last = Some((now, stage.to_owned()));
        drop(state);
        (self.report)(Report { stage: stage.to_owned(), done, total, unit });
    }

    /// Says that the drive now works by itself on what is named, for at most this long.
    pub(crate) fn enter(&self, inside: String, at_most: Duration) {
        let mut state = self.state();
        state.due = Some(Instant::now() + at_most);
        state.inside = Some(inside);
    }

    /// Says that the host is in charge again.
    pub(crate) fn leave(&self) {
        let mut state = self.state();
        state.due = Some(Instant::now() + SILENCE);
        state.inside = None;
    }

    /// What goes on in the drive that nobody can stop.
    pub(crate) fn inside(&self) -> Option<String> {
        self.state().inside.clone()
    }

    /// Whether the sign of life is overdue.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        self.state().due.is_some_and(|due| due < now)
    }
}
