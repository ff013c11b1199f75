//! How long to go on with an agent that does not answer.

use std::time::Duration;

use tokio::time::Instant;

use super::backoff::Backoff;
use super::error::AgentError;

/// Requests that belong together: they may fail for a while, but not for longer than patience lasts.
pub(super) struct Attempts {
    patience: Duration,
    last_answer: Instant,
    backoff: Backoff,
}

impl Attempts {
    pub(super) fn new(patience: Duration) -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        Self { patience, last_answer: Instant::now(), backoff }
    }

    /// What to make of an answer: a value, a pause before the next attempt (`None`), or the end.
    pub(super) async fn take<T>(&mut self, answer: Result<T, AgentError>) -> Result<Option<T>, AgentError> {
        match answer {
            Ok(value) => {
                self.last_answer = Instant::now();
                self.backoff.reset();
                Ok(Some(value))
            }
            Err(error) if error.is_transient() && self.last_answer.elapsed() < self.patience => {
                tracing::debug!(error = &error as &dyn std::error::Error, "trying again");
                tokio::time::sleep(self.backoff.delay()).await;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
