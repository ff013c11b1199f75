//! What a running operation may ask and tell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Instant;

use tacit_model::Proof;
use tacit_protocol::v2::{EventKind, Progress};

use super::record::bare_name;
use super::{CommandError, EventLog, Front, Jobs, ProgressMeter};

/// The running operation's side of its record.
#[derive(Debug)]
pub struct JobContext {
    id: String,
    command: String,
    front: Front,
    cancel: Arc<AtomicBool>,
    /// Whether the journal knows that a disk is touched; empty before that.
    touched: OnceLock<Result<(), CommandError>>,
    failure: Mutex<Option<CommandError>>,
    meter: Mutex<ProgressMeter>,
    events: Arc<EventLog>,
    jobs: Weak<Jobs>,
}

impl JobContext {
    pub(super) fn new(
        id: &str,
        command: &str,
        front: Front,
        cancel: Arc<AtomicBool>,
        events: Arc<EventLog>,
        jobs: Weak<Jobs>,
    ) -> Self {
        Self {
            id: id.to_owned(),
            command: command.to_owned(),
            front,
            cancel,
            touched: OnceLock::new(),
            failure: Mutex::default(),
            meter: Mutex::default(),
            events,
            jobs,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
    }

    /// `extension.command`.
    pub(super) fn command(&self) -> &str {
        &self.command
    }

    /// Name without the extension.
    pub fn bare_name(&self) -> &str {
        bare_name(&self.command)
    }

    /// The face of the API that it came through.
    pub fn front(&self) -> Front {
        self.front
    }

    /// Whether the caller asked to stop.
    pub fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Tells how far the operation is; throttled here.
    pub fn progress(&self, progress: Progress) {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        for progress in meter.update(Instant::now(), progress) {
            self.events.push(Some(&self.id), EventKind::Progress(progress));
        }
    }

    /// Tells the last words that were held back: the operation is about to end.
    pub(super) fn progress_ends(&self) {
        for progress in self.meter.lock().unwrap_or_else(PoisonError::into_inner).rest() {
            self.events.push(Some(&self.id), EventKind::Progress(progress));
        }
    }

    /// To be called before each write to a disk, by any thread: the first call returns when the journal says that the
    /// disk is touched, so that an agent that dies afterwards reports it as no longer bootable. Cheap from then on.
    ///
    /// # Errors
    ///
    /// When the journal cannot be written, or a program of an earlier operation may be writing: then nothing may be
    /// written to the disk, now or later, and the operation ends with this error.
    pub fn touch_disk(&self) -> Result<(), CommandError> {
        self.touched.get_or_init(|| self.journal_touch()).clone()
    }

    fn journal_touch(&self) -> Result<(), CommandError> {
        tacit_hardware::end_strays(None)
            .map_err(|error| CommandError::execution(error.to_string()).with_retry(true))?;
        self.jobs.upgrade().map_or(Ok(()), |jobs| jobs.mark_disk_touched(&self.id))
    }

    /// Whether a disk was touched so far.
    pub fn has_touched_disk(&self) -> bool {
        matches!(self.touched.get(), Some(Ok(())))
    }

    /// Keeps what became of a device, for the case that nobody lives to tell it at the operation's end.
    pub fn keep_proof(&self, proof: &Proof) {
        if let Some(jobs) = self.jobs.upgrade() {
            jobs.keep_proof(&self.id, proof);
        }
    }

    /// Why no disk could be touched.
    pub(super) fn refusal(&self) -> Option<CommandError> {
        self.touched.get()?.as_ref().err().cloned()
    }

    /// Keeps the whole of a failure that has to travel through an interface that carries less.
    pub fn set_failure(&self, failure: CommandError) {
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }

    pub fn take_failure(&self) -> Option<CommandError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Says that nothing can go on without a lent connection.
    pub fn lend_wanted(&self) {
        self.events.push(Some(&self.id), EventKind::LendWanted);
    }
}
