//! Starts, ends and finds operations.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tacit_model::Proof;
use tacit_protocol::error::{DiskState, OperationError};
use tacit_protocol::v2::{EventKind, OperationState};
use tokio::sync::watch;

use super::record::bare_name;
use super::{CommandError, Ending, EventLog, Front, JobContext, Journal, Record};
use crate::clock::unix_time;

/// Another operation is running.
#[derive(Clone, Debug, thiserror::Error)]
#[error("executing command {running}")]
pub struct Busy {
    /// Name of the running command without its extension.
    pub running: String,
}

/// What became of an operation that had the place to run.
#[derive(Debug)]
pub enum Begun {
    Running(Box<JobContext>),
    /// It could not be journalled, so it does not run: its record says so.
    Failed,
}

/// Answer to a wish to stop.
#[derive(Clone, Debug, PartialEq)]
pub enum Cancelled {
    Unknown,
    /// The operation as it is now; it stops as soon as it looks.
    Asked(Box<Record>),
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub id: String,
    pub front: Front,
    /// `extension.command`.
    pub command: String,
    pub request_digest: String,
}

struct State {
    records: Vec<Record>,
    running: Option<Running>,
}

struct Running {
    index: usize,
    cancel: Arc<AtomicBool>,
}

impl State {
    /// The record of the operation that runs, if it is this one.
    fn running(&mut self, id: &str) -> Option<&mut Record> {
        // By place: an id is unique within its front only.
        let index = self.running.as_ref()?.index;
        Some(&mut self.records[index]).filter(|record| record.id == id)
    }
}

/// All operations of this boot.
pub struct Jobs {
    state: Mutex<State>,
    /// Rung at every end.
    ended: watch::Sender<()>,
    events: Arc<EventLog>,
    journal: Journal,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").finish_non_exhaustive()
    }
}

impl Jobs {
    /// Takes up what an earlier life of the agent left: what was running then has failed.
    pub fn resume(journal: Journal, events: Arc<EventLog>) -> Arc<Self> {
        let mut records = journal.load().unwrap_or_else(|error| {
            tracing::error!("{}", CommandError::chain(&error));
            Vec::new()
        });
        for record in records.iter_mut().filter(|record| record.state == OperationState::Running) {
            let disk = if record.disk_touched { DiskState::NotBootable } else { DiskState::Untouched };
            let failure = CommandError::execution("interrupted by a restart of the agent")
                .with_retry(true)
                .with_disk(disk)
                .error;
            tracing::warn!(operation = record.id, command = record.command, "interrupted by a restart");
            record.state = OperationState::Failed;
            record.error =
                Some(OperationError { proofs: std::mem::take(&mut record.proofs), ..failure.clone() });
            record.finished_at = Some(unix_time());
            let kind = EventKind::Finished { state: OperationState::Failed, error: Some(failure) };
            events.push(Some(&record.id), kind);
        }
        let jobs = Arc::new(Self {
            state: Mutex::new(State { records, running: None }),
            ended: watch::Sender::new(()),
            events,
            journal,
        });
        jobs.save(&jobs.lock());
        jobs
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For what has happened already: a journal that cannot be written does not undo it.
    fn save(&self, state: &State) {
        if let Err(error) = self.journal.save(&state.records) {
            tracing::error!("{}", CommandError::chain(&error));
        }
    }

    /// For what is about to happen: it must not without a trace.
    fn save_before(&self, state: &State) -> Result<(), CommandError> {
        self.journal
            .save(&state.records)
            .map_err(|error| CommandError::new("JournalError", CommandError::chain(&error)).with_retry(true))
    }

    /// Takes the one place there is. Nothing runs that the journal does not know of: after a restart, it would be
    /// absent instead of failed.
    pub fn begin(self: &Arc<Self>, job: NewJob) -> Result<Begun, Busy> {
        let mut state = self.lock();
        if let Some(running) = &state.running {
            return Err(Busy { running: state.records[running.index].bare_name().to_owned() });
        }
        tracing::info!(operation = job.id, command = job.command, "started");
        let cancel = Arc::new(AtomicBool::new(false));
        let context = JobContext::new(
            &job.id,
            &job.command,
            job.front,
            cancel.clone(),
            self.events.clone(),
            Arc::downgrade(self),
        );
        let started = EventKind::Started { command: job.command.clone() };
        state.records.push(Record {
            shown_name: bare_name(&job.command).to_owned(),
            id: job.id,
            front: job.front,
            command: job.command,
            request_digest: job.request_digest,
            state: OperationState::Running,
            version_mismatch: false,
            result: None,
            error: None,
            started_at: unix_time(),
            finished_at: None,
            disk_touched: false,
            proofs: Vec::new(),
        });
        state.running = Some(Running { index: state.records.len() - 1, cancel });
        let journalled = self.save_before(&state);
        drop(state);
        self.events.push(Some(context.id()), started);
        Ok(match journalled {
            Ok(()) => Begun::Running(Box::new(context)),
            Err(error) => {
                self.refuse(&context, error, context.command());
                Begun::Failed
            }
        })
    }

    /// Runs `work` to its end on this thread. A panic in it is a failure of the operation, not of the agent.
    /// A failure is shown under `name_if_failed` where that is given.
    pub fn run<W>(&self, context: &JobContext, name_if_failed: Option<&str>, work: W)
    where
        W: FnOnce(&JobContext) -> Result<Value, CommandError>,
    {
        let outcome = catch_unwind(AssertUnwindSafe(|| work(context))).unwrap_or_else(|_| {
            let touched = context.has_touched_disk();
            let disk = if touched { DiskState::NotBootable } else { DiskState::Untouched };
            let text = "the agent's own code panicked; see its log";
            Err(CommandError::execution(text).with_disk(disk))
        });
        let outcome = outcome.map_err(|error| context.refusal().unwrap_or(error));
        context.progress_ends();
        self.end(context.id(), outcome, name_if_failed);
    }

    /// Records that a command failed before it could run (IPA contract §1.4: under its dotted name).
    pub fn refuse(&self, context: &JobContext, error: CommandError, shown_name: &str) {
        self.end(context.id(), Err(error), Some(shown_name));
    }

    fn end(&self, id: &str, outcome: Result<Value, CommandError>, name_if_failed: Option<&str>) {
        let mut state = self.lock();
        let Some(Running { index, .. }) = state.running.take() else { return };
        let record = &mut state.records[index];
        debug_assert_eq!(record.id, id);
        let kept = std::mem::take(&mut record.proofs);
        match outcome {
            Ok(result) => {
                record.state = OperationState::Succeeded;
                record.result = (!result.is_null()).then_some(result);
                tracing::info!(operation = id, command = record.command, "succeeded");
            }
            Err(error) => {
                record.state = error.state();
                record.version_mismatch = error.ending == Ending::VersionMismatch;
                tracing::error!(operation = id, command = record.command, "{error}");
                let mut error = error.error;
                if error.proofs.is_empty() {
                    // What fails as a whole says nothing of the devices that were done before.
                    error.proofs = kept;
                }
                record.error = Some(error);
            }
        }
        if let (Some(name), Some(_)) = (name_if_failed, &record.error) {
            record.shown_name = name.to_owned();
        }
        record.finished_at = Some(unix_time());
        // Events are kept for long and for many: who wants the proofs asks for the operation.
        let told = record.error.clone().map(|error| OperationError { proofs: Vec::new(), ..error });
        let kind = EventKind::Finished { state: record.state, error: told };
        self.save(&state);
        drop(state);
        self.events.push(Some(id), kind);
        self.ended.send_replace(());
    }

    pub(super) fn mark_disk_touched(&self, id: &str) -> Result<(), CommandError> {
        let mut state = self.lock();
        let Some(record) = state.running(id) else { return Ok(()) };
        record.disk_touched = true;
        self.save_before(&state)
    }

    /// Keeps what became of a device; the last word about it counts.
    pub(super) fn keep_proof(&self, id: &str, proof: &Proof) {
        let mut state = self.lock();
        let Some(record) = state.running(id) else { return };
        record.proofs.retain(|other| other.device != proof.device);
        record.proofs.push(proof.clone());
        self.save(&state);
    }

    /// Asks a running operation to stop. One that is over stays as it is.
    pub fn cancel(&self, front: Front, id: &str) -> Cancelled {
        let state = self.lock();
        let Some((index, record)) =
            state.records.iter().enumerate().find(|(_, record)| record.id == id && record.front == front)
        else {
            return Cancelled::Unknown;
        };
        if let Some(running) = &state.running
            && running.index == index
        {
            tracing::info!(operation = id, "asked to stop");
            running.cancel.store(true, Ordering::Relaxed);
        }
        Cancelled::Asked(Box::new(record.clone()))
    }

    pub fn get(&self, front: Front, id: &str) -> Option<Record> {
        self.lock().records.iter().find(|record| record.id == id && record.front == front).cloned()
    }

    /// Oldest first.
    pub fn list(&self, front: Front) -> Vec<Record> {
        self.lock().records.iter().filter(|record| record.front == front).cloned().collect()
    }

    /// Id of what is running, and its name without the extension.
    pub fn running(&self) -> Option<(String, String)> {
        let state = self.lock();
        let record = &state.records[state.running.as_ref()?.index];
        Some((record.id.clone(), record.bare_name().to_owned()))
    }

    /// Waits until the operation is over.
    pub async fn wait(&self, front: Front, id: &str) -> Option<Record> {
        let mut bell = self.ended.subscribe();
        loop {
            bell.borrow_and_update();
            let record = self.get(front, id)?;
            if record.state.is_final() || bell.changed().await.is_err() {
                return Some(record);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jobs(directory: &std::path::Path) -> Arc<Jobs> {
        let journal = Journal::new(directory, "boot").unwrap();
        Jobs::resume(journal, Arc::new(EventLog::new("boot".into())))
    }

    fn new_job(id: &str) -> NewJob {
        NewJob {
            id: id.into(),
            front: Front::V2,
            command: "standby.sync".into(),
            request_digest: "digest".into(),
        }
    }

    fn running(jobs: &Arc<Jobs>, id: &str) -> JobContext {
        match jobs.begin(new_job(id)).unwrap() {
            Begun::Running(context) => *context,
            Begun::Failed => panic!("{:?}", jobs.get(Front::V2, id)),
        }
    }

    /// From now on the journal cannot be replaced: its name leads to a folder.
    fn block(directory: &std::path::Path) {
        let journal = directory.join("journal.json");
        std::fs::remove_file(&journal).unwrap();
        std::fs::create_dir_all(journal.join("in the way")).unwrap();
    }

    #[test]
    fn nothing_runs_that_cannot_be_journalled() {
        let directory = tempfile::tempdir().unwrap();
        let jobs = jobs(directory.path());
        block(directory.path());
        assert!(matches!(jobs.begin(new_job("a")).unwrap(), Begun::Failed));
        assert!(jobs.running().is_none());
        let record = jobs.get(Front::V2, "a").unwrap();
        assert_eq!((record.state, record.shown_name.as_str()), (OperationState::Failed, "standby.sync"));
        let error = record.error.unwrap();
        assert_eq!((error.class.as_str(), error.code, error.retry), ("JournalError", 500, true));
        assert_eq!(error.disk, DiskState::Untouched);
        assert!(error.details.contains("journal.json"), "{}", error.details);
        std::fs::remove_dir_all(directory.path().join("journal.json")).unwrap();
        running(&jobs, "b");
    }

    #[test]
    fn no_disk_is_touched_that_the_journal_does_not_know_of() {
        let directory = tempfile::tempdir().unwrap();
        let jobs = jobs(directory.path());
        let context = running(&jobs, "a");
        block(directory.path());
        jobs.run(&context, None, |job| {
            assert!(job.touch_disk().is_err());
            // The journal can be written again, but somebody was told that it cannot: that is final.
            std::fs::remove_dir_all(directory.path().join("journal.json")).unwrap();
            assert!(job.touch_disk().is_err());
            Err(CommandError::new("ImageWriteError", "no write passed").with_disk(DiskState::NotBootable))
        });
        let error = jobs.get(Front::V2, "a").unwrap().error.unwrap();
        assert_eq!((error.class.as_str(), error.disk), ("JournalError", DiskState::Untouched));
    }

    #[test]
    fn one_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let jobs = jobs(directory.path());
        let context = running(&jobs, "a");
        assert_eq!(jobs.begin(new_job("b")).unwrap_err().running, "sync");
        jobs.run(&context, None, |_| Ok(json!({"x": 1})));
        assert_eq!(jobs.get(Front::V2, "a").unwrap().result, Some(json!({"x": 1})));
        assert!(jobs.begin(new_job("b")).is_ok());
    }

    #[test]
    fn a_panic_fails_the_operation_only() {
        let directory = tempfile::tempdir().unwrap();
        let jobs = jobs(directory.path());
        let context = running(&jobs, "a");
        jobs.run(&context, None, |_| panic!("boom"));
        let record = jobs.get(Front::V2, "a").unwrap();
        assert_eq!(record.state, OperationState::Failed);
        assert_eq!(record.error.unwrap().disk, DiskState::Untouched);
        assert!(jobs.running().is_none());
    }

    #[test]
    fn a_panic_does_not_hide_that_a_disk_was_touched() {
        let directory = tempfile::tempdir().unwrap();
        let jobs = jobs(directory.path());
        let context = running(&jobs, "a");
        jobs.run(&context, None, |job| {
            job.touch_disk().unwrap();
            job.keep_proof(&Proof::default());
            panic!("boom")
        });
        let error = jobs.get(Front::V2, "a").unwrap().error.unwrap();
        assert_eq!((error.disk, error.proofs.len()), (DiskState::NotBootable, 1));
    }

    #[test]
    fn the_same_id_at_the_other_front_is_another_operation() {
        let directory = tempfile::tempdir().unwrap();
        let first = jobs(directory.path());
        let Begun::Running(context) = first.begin(NewJob { front: Front::V1, ..new_job("a") }).unwrap()
        else {
            panic!("it does not run")
        };
        first.run(&context, None, |_| Ok(Value::Null));
        running(&first, "a").touch_disk().unwrap();
        let after = jobs(directory.path());
        assert_eq!(after.get(Front::V2, "a").unwrap().error.unwrap().disk, DiskState::NotBootable);
    }

    #[test]
    fn what_was_running_has_failed_after_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let context = jobs(directory.path()).begin(new_job("a"));
        drop(context);
        let before = jobs(directory.path());
        let record = before.get(Front::V2, "a").unwrap();
        assert_eq!(record.state, OperationState::Failed);
        let error = record.error.unwrap();
        assert_eq!(error.class, "CommandExecutionError");
        assert_eq!(error.details, "interrupted by a restart of the agent");
        assert_eq!(error.disk, DiskState::Untouched);

        let context = running(&before, "b");
        context.touch_disk().unwrap();
        for (device, text) in [("/dev/sda", "first"), ("/dev/sdb", "only"), ("/dev/sda", "last")] {
            context.keep_proof(&Proof { device: device.into(), method: text.into(), ..Proof::default() });
        }
        let log = Arc::new(EventLog::new("boot".into()));
        let after = Jobs::resume(Journal::new(directory.path(), "boot").unwrap(), log.clone());
        let error = after.get(Front::V2, "b").unwrap().error.unwrap();
        assert_eq!(error.disk, DiskState::NotBootable);
        let proofs: Vec<_> = error.proofs.iter().map(|proof| (&*proof.device, &*proof.method)).collect();
        assert_eq!(proofs, [("/dev/sdb", "only"), ("/dev/sda", "last")]);
        let told = log.page(0).events.into_iter().map(|event| event.kind).collect::<Vec<_>>();
        assert!(
            matches!(&told[..], [EventKind::Finished { error: Some(error), .. }] if error.proofs.is_empty())
        );
        assert_eq!(after.list(Front::V2).len(), 2);
        assert!(after.list(Front::V1).is_empty());
    }

    #[test]
    fn another_boot_starts_with_nothing() {
        let directory = tempfile::tempdir().unwrap();
        assert!(jobs(directory.path()).begin(new_job("a")).is_ok());
        let journal = Journal::new(directory.path(), "another boot").unwrap();
        assert!(journal.load().unwrap().is_empty());
    }

    #[test]
    fn proofs_are_kept_with_the_operation_and_not_told_in_events() {
        let directory = tempfile::tempdir().unwrap();
        let log = Arc::new(EventLog::new("boot".into()));
        let jobs = Jobs::resume(Journal::new(directory.path(), "boot").unwrap(), log.clone());
        let context = running(&jobs, "a");
        jobs.run(&context, None, |_| {
            let mut error = CommandError::new("BlockDeviceEraseError", "/dev/sdb: broken");
            error.error.proofs = vec![tacit_model::Proof::default().failed("broken")];
            Err(error)
        });
        assert_eq!(jobs.get(Front::V2, "a").unwrap().error.unwrap().proofs.len(), 1);
        let told = log.page(0).events.into_iter().find_map(|event| match event.kind {
            EventKind::Finished { error, .. } => error,
            _ => None,
        });
        assert!(told.unwrap().proofs.is_empty());
        // After a restart of the agent they are still there.
        let after = self::jobs(directory.path());
        assert_eq!(after.get(Front::V2, "a").unwrap().error.unwrap().proofs.len(), 1);
    }
}
