//! Workers that run side by side until the time is over, one of them finds an error, or the caller has enough.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tacit_model::ProgressUnit;

use crate::managers::{DeviceFailure, StepContext, StepError};

/// How often progress is told and cancelling is asked for.
const LOOK: Duration = Duration::from_millis(200);

/// How long workers are waited for; then they are left behind, whatever holds them.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// Without a word of a worker that is at work.
    silence: Duration,
    /// For the end of a worker that is told to stop.
    grace: Duration,
}

/// Disks that struggle with a bad sector take a minute, and a kernel tries again several times.
const PATIENCE: Patience = Patience { silence: Duration::from_secs(600), grace: Duration::from_secs(30) };

/// What all workers have in common.
struct Shared {
    begin: Instant,
    end: Option<Instant>,
    stopped: AtomicBool,
    failures: Mutex<Vec<String>>,
}

impl Shared {
    fn new(duration: Option<Duration>) -> Self {
        let begin = Instant::now();
        Self {
            begin,
            end: duration.map(|duration| begin + duration),
            stopped: AtomicBool::new(false),
            failures: Mutex::default(),
        }
    }

    fn fail(&self, what: String) {
        /// One broken cell can be met any number of times.
        const MOST: usize = 32;
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() < MOST {
            failures.push(what);
        }
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// One of the workers, as it and those who wait for it see it.
pub(super) struct Worker {
    name: String,
    shared: Arc<Shared>,
    done: AtomicU64,
    /// When it last asked whether to end, in milliseconds since the begin.
    heard: AtomicU64,
}

impl Worker {
    fn new(name: String, shared: Arc<Shared>) -> Self {
        Self { name, shared, done: AtomicU64::new(0), heard: AtomicU64::new(0) }
    }

    /// Whether it should end: time, cancel, or an error somewhere. Who asks is alive.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopped() || self.shared.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Whether it ends before its time.
    pub(super) fn is_stopped(&self) -> bool {
        self.heard.store(self.clock(), Ordering::Relaxed);
        self.shared.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, amount: u64) {
        self.done.fetch_add(amount, Ordering::Relaxed);
    }

    pub(super) fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Something erred: what, and where.
    pub(super) fn fail(&self, what: String) {
        self.shared.fail(what);
    }

    fn clock(&self) -> u64 {
        u64::try_from(self.shared.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_silent(&self, patience: Patience) -> bool {
        let silence = self.clock().saturating_sub(self.heard.load(Ordering::Relaxed));
        Duration::from_millis(silence) > patience.silence
    }
}

#[cfg(test)]
impl Worker {
    /// One that works for so long, and has no others beside it.
    pub(super) fn alone(duration: Option<Duration>) -> Self {
        Self::new("alone".to_owned(), Arc::new(Shared::new(duration)))
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

type Work = Box<dyn FnOnce(&Worker) + Send>;

/// All workers of a step.
pub(super) struct Crew {
    shared: Arc<Shared>,
    members: Vec<(Arc<Worker>, Work)>,
}

impl Crew {
    /// Without a duration it is the workers that end.
    pub(super) fn new(duration: Option<Duration>) -> Self {
        Self { shared: Arc::new(Shared::new(duration)), members: Vec::new() }
    }

    /// One more, which begins with the others.
    pub(super) fn add(&mut self, name: &str, work: impl FnOnce(&Worker) + Send + 'static) {
        self.members.push((Arc::new(Worker::new(name.to_owned(), self.shared.clone())), Box::new(work)));
    }

    /// Runs the workers, tells progress under `device`, and collects what went wrong. Workers that hang are left
    /// behind: once they are heard of again, they end.
    ///
    /// # Errors
    ///
    /// [`StepError::Cancelled`], [`StepError::Halted`] with the workers that did not stop, [`StepError::Failed`] with
    /// every failure.
    pub(super) fn run(
        self,
        context: &StepContext<'_>,
        device: &str,
        total: Total,
    ) -> Result<Value, StepError> {
        self.run_within(context, device, total, PATIENCE)
    }

    fn run_within(
        self,
        context: &StepContext<'_>,
        device: &str,
        total: Total,
        patience: Patience,
    ) -> Result<Value, StepError> {
        let Self { shared, members } = self;
        let workers: Vec<Arc<Worker>> = members.iter().map(|(worker, _)| worker.clone()).collect();
        let done = || workers.iter().map(|worker| worker.done()).sum::<u64>();
        let mut running = start(members);
        let (mut cancelled, mut stopped, mut left) = (false, None, Vec::new());
        while !running.is_empty() {
            thread::sleep(LOOK);
            if context.observer.cancelled() {
                cancelled = true;
                shared.stopped.store(true, Ordering::Relaxed);
            }
            let (done, total, unit) = match total {
                Total::Bytes(total) => (done().min(total), total, ProgressUnit::Bytes),
                Total::Seconds(total) => {
                    (shared.begin.elapsed().as_secs().min(total), total, ProgressUnit::Regions)
                }
            };
            context.observer.progress("burn-in", device, done, total, unit);
            running = attend(running, &shared, patience);
            if shared.stopped.load(Ordering::Relaxed)
                && stopped.get_or_insert_with(Instant::now).elapsed() > patience.grace
            {
                left = std::mem::take(&mut running);
            }
        }
        let left: Vec<DeviceFailure> = left
            .iter()
            .map(|(worker, _)| DeviceFailure {
                device: worker.name.clone(),
                reason: format!("has not stopped within {} s", patience.grace.as_secs()),
            })
            .collect();
        let failures = shared.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if !failures.is_empty() {
            let left = left.iter().map(|one| format!("{}: {}", one.device, one.reason));
            return Err(failed(failures.iter().cloned().chain(left).collect::<Vec<_>>().join("; ")));
        }
        if !left.is_empty() {
            return Err(StepError::Halted { states: left, proofs: Vec::new(), touched: false });
        }
        if cancelled {
            return Err(StepError::Cancelled { done: 0, total: workers.len() });
        }
        Ok(json!({
            "result": "passed",
            "workers": workers.len(),
            "seconds": shared.begin.elapsed().as_secs_f64(),
            "done": done(),
        }))
    }
}

type Running = Vec<(Arc<Worker>, JoinHandle<()>)>;

/// Each in a thread that need not be waited for.
fn start(members: Vec<(Arc<Worker>, Work)>) -> Running {
    let mut running = Vec::with_capacity(members.len());
    for (worker, work) in members {
        let own = worker.clone();
        match thread::Builder::new().spawn(move || work(&own)) {
            Ok(handle) => running.push((worker, handle)),
            Err(error) => worker.fail(format!("{}: there is no thread for it ({error})", worker.name)),
        }
    }
    running
}

/// Those that are still at work. One that is silent for too long is none of them.
fn attend(running: Running, shared: &Shared, patience: Patience) -> Running {
    let (ended, running): (Running, Running) =
        running.into_iter().partition(|(_, handle)| handle.is_finished());
    for (worker, handle) in ended {
        if handle.join().is_err() {
            shared.fail(format!("{}: the worker ended in a panic", worker.name));
        }
    }
    let (silent, running): (Running, Running) =
        running.into_iter().partition(|(worker, _)| worker.is_silent(patience));
    for (worker, _) in silent {
        let seconds = patience.silence.as_secs();
        shared.fail(format!("{}: hangs; nothing was heard of it for {seconds} s", worker.name));
    }
    running
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

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::managers::StepObserver;

    struct Observer {
        stops: bool,
    }

    impl StepObserver for Observer {
        fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

        fn cancelled(&self) -> bool {
            self.stops
        }
    }

    const SHORT: Patience =
        Patience { silence: Duration::from_millis(500), grace: Duration::from_millis(300) };
    const LONG: Duration = Duration::from_secs(600);

    /// One worker that is in the kernel for ever, and one that works until it is told to stop.
    fn beside_one_that_hangs(stops: bool, patience: Patience) -> StepError {
        let gate = Arc::new(Mutex::new(()));
        let closed = gate.lock().unwrap();
        let mut crew = Crew::new(Some(LONG));
        let hangs = gate.clone();
        crew.add("/dev/sda", move |_| drop(hangs.lock()));
        crew.add("/dev/sdb", |worker| {
            while !worker.is_over() {
                worker.add(1);
                thread::yield_now();
            }
        });
        let (nothing, args) = (Value::Null, Map::new());
        let observer = Observer { stops };
        let context = StepContext { node: &nothing, ports: &nothing, args: &args, observer: &observer };
        let error = crew.run_within(&context, "disks", Total::Seconds(1), patience).unwrap_err();
        drop(closed);
        error
    }

    #[test]
    fn a_worker_that_hangs_fails_the_step_and_is_left_behind() {
        let error = beside_one_that_hangs(false, SHORT);
        assert_eq!(error.details(), "/dev/sda: hangs; nothing was heard of it for 0 s");
    }

    #[test]
    fn a_stop_is_heard_although_a_worker_hangs() {
        let error = beside_one_that_hangs(true, Patience { silence: LONG, ..SHORT });
        assert!(matches!(error, StepError::Halted { .. }), "{error:?}");
        assert_eq!(error.details(), "stopped: /dev/sda: has not stopped within 0 s");
    }
}
