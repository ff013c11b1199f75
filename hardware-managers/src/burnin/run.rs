//! Workers that run side by side until the time is over, one of them finds an error, or the caller has enough.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tacit_model::ProgressUnit;

use crate::managers::{StepContext, StepError};

/// How often progress is told and cancelling is asked for.
const LOOK: Duration = Duration::from_millis(200);

/// What workers share.
pub(super) struct Shared {
    end: Option<Instant>,
    stopped: AtomicBool,
    done: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Shared {
    /// Without a duration it is the workers that end.
    pub(super) fn new(duration: Option<Duration>) -> Self {
        Self {
            end: duration.map(|duration| Instant::now() + duration),
            stopped: AtomicBool::new(false),
            done: AtomicU64::new(0),
            failures: Mutex::default(),
        }
    }

    /// Whether a worker should end: time, cancel, or an error somewhere.
    pub(super) fn is_over(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Whether it ends before its time.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Something erred: what, and where.
    pub(super) fn fail(&self, what: String) {
        /// One broken cell can be met any number of times.
        const MOST: usize = 32;
        let mut failures = self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if failures.len() < MOST {
            failures.push(what);
        }
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// What a burn-in counts as progress.
#[derive(Clone, Copy)]
pub(super) enum Total {
    /// Bytes in all, as far as the work is known beforehand.
    Bytes(u64),
    /// Seconds of the given duration.
    Seconds(u64),
}

/// Runs the workers, tells progress under `device`, and collects what went wrong.
///
/// # Errors
///
/// [`StepError::Cancelled`], [`StepError::Failed`] with every failure.
pub(super) fn run<'scope>(
    context: &StepContext<'_>,
    device: &str,
    total: Total,
    shared: &'scope Shared,
    workers: Vec<Box<dyn FnOnce() + Send + 'scope>>,
) -> Result<Value, StepError> {
    let begin = Instant::now();
    let count = workers.len();
    let cancelled = thread::scope(|scope| {
        let handles: Vec<_> = workers.into_iter().map(|worker| scope.spawn(worker)).collect();
        let mut cancelled = false;
        while !handles.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(LOOK);
            if context.observer.cancelled() {
                cancelled = true;
                shared.stopped.store(true, Ordering::Relaxed);
            }
            let (done, total, unit) = match total {
                Total::Bytes(total) => (shared.done().min(total), total, ProgressUnit::Bytes),
                Total::Seconds(total) => (begin.elapsed().as_secs().min(total), total, ProgressUnit::Regions),
            };
            context.observer.progress("burn-in", device, done, total, unit);
        }
        for handle in handles {
            if handle.join().is_err() {
                shared.fail(format!("{device}: a worker ended in a panic"));
            }
        }
        cancelled
    });
    let failures = shared.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !failures.is_empty() {
        return Err(failed(failures.join("; ")));
    }
    if cancelled {
        return Err(StepError::Cancelled { done: 0, total: count });
    }
    Ok(json!({
        "result": "passed",
        "workers": count,
        "seconds": begin.elapsed().as_secs_f64(),
        "done": shared.done(),
    }))
}

/// Writes the report, of success and of failure, where the operator wants it.
///
/// # Errors
///
/// The outcome's own, or that the report cannot be written.
pub(super) fn report(
    name: &str,
    file: Option<&Path>,
    outcome: Result<Value, StepError>,
) -> Result<Value, StepError> {
    let Some(file) = file else { return outcome };
    let line = match &outcome {
        Ok(report) => json!({"step": name, "report": report}),
        Err(error) => json!({"step": name, "error": error.details()}),
    };
    let written = fs::write(file, format!("{line}\n"));
    let report = outcome?;
    written.map_err(|error| failed(format!("{}: {error}", file.display())))?;
    Ok(report)
}

pub(super) fn failed(details: String) -> StepError {
    StepError::Failed {
        class: "CleaningError",
        code: 500,
        message: "Clean step failed",
        details,
        retry: true,
        touched: false,
    }
}

/// Number of processors that threads may run on.
pub(super) fn processors() -> usize {
    thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The processor that the caller runs on just now (`proc_pid_stat(5)`, field 39), as text for messages.
pub(super) fn processor() -> String {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The name in brackets may have blanks in it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields
        .split_whitespace()
        .nth(36)
        .map_or_else(|| "an unknown processor".to_owned(), |cpu| format!("processor {cpu}"))
}
