//! What a running operation may ask and tell.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

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
    touched: AtomicBool,
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
            touched: AtomicBool::new(false),
            failure: Mutex::default(),
            meter: Mutex::default(),
            events,
            jobs,
        }
    }

    pub fn id(&self) -> &str {
        &self.id
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
        if let Some(progress) = meter.update(Instant::now(), progress) {
            self.events.push(Some(&self.id), EventKind::Progress(progress));
        }
    }

    /// To be called before the first byte is written to a disk: an agent that dies afterwards reports the disk as
    /// no longer bootable. Cheap after the first time.
    pub fn disk_touched(&self) {
        if !self.touched.swap(true, Ordering::Relaxed)
            && let Some(jobs) = self.jobs.upgrade()
        {
            jobs.mark_disk_touched(&self.id);
        }
    }

    /// Whether a disk was touched so far.
    pub fn has_touched_disk(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
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
