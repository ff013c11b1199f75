//! Tasks: following an operation that the BMC goes on with after it has answered (DSP0266, "Asynchronous operations").

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::client::Client;
use super::errors::{BmcError, BmcErrorKind};
use super::exchange::Answer;
use super::messages::ErrorBody;
use super::resource::Fields;

const FAILED: [&str; 4] = ["Killed", "Exception", "Cancelled", "Interrupted"];
const RUNNING: [&str; 7] = ["New", "Starting", "Running", "Suspended", "Pending", "Stopping", "Cancelling"];

impl Client {
    /// Waits until the task behind a 202 is done, at most `limit`; at once for any other answer.
    ///
    /// # Errors
    /// [`BmcErrorKind::TaskFailed`] when it ended badly, [`BmcErrorKind::Unmoved`] when it did not end.
    pub(super) async fn follow_task(&self, answer: &Answer, limit: Duration) -> Result<(), BmcError> {
        if answer.status != 202 {
            return Ok(());
        }
        let Some(uri) = answer.location().or_else(|| answer.body.text("@odata.id")).map(str::to_owned) else {
            return Ok(());
        };
        let start = Instant::now();
        let mut delay = answer.retry_after();
        loop {
            // BMCs name a second where they mean "soon"; the limit of a wait still applies.
            let pause = delay.unwrap_or(self.timing().media_poll).min(self.timing().retry_after_max);
            tokio::time::sleep(pause).await;
            // A monitor may disappear once its result was collected; what it did is checked by the caller.
            let Some(now) = self.find(&uri).await? else { return Ok(()) };
            let state = now.body.text("TaskState").unwrap_or_default().to_owned();
            if FAILED.contains(&state.as_str()) {
                let body = self.inner.blot_out(task_messages(&now.body));
                return Err(self.error("follow task", BmcErrorKind::TaskFailed { state, body }));
            }
            if now.status != 202 && !RUNNING.contains(&state.as_str()) {
                return Ok(());
            }
            let waited = start.elapsed();
            if waited >= limit {
                let seen = if state.is_empty() { "a running task".to_owned() } else { state };
                let kind = BmcErrorKind::Unmoved { wanted: "a completed task".into(), seen, waited };
                return Err(self.error("follow task", kind));
            }
            delay = now.retry_after();
        }
    }
}

/// A task carries its messages beside its state rather than in an error body.
fn task_messages(task: &Value) -> ErrorBody {
    match task.get("Messages") {
        Some(messages) => ErrorBody::parse(&serde_json::json!({"@Message.ExtendedInfo": messages})),
        None => ErrorBody::parse(task),
    }
}
