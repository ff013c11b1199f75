//! One operation at a time, for both fronts of the API: start, progress, cancel, result and the journal that
//! outlives a killed agent.

mod context;
mod error;
mod events;
mod journal;
mod progress;
mod record;
mod runner;

pub use context::JobContext;
pub use error::{CommandError, Ending};
pub use events::EventLog;
pub use journal::{Journal, JournalError};
pub use progress::ProgressMeter;
pub use record::{Front, Record};
pub use runner::{Begun, Busy, Cancelled, Jobs, NewJob};
