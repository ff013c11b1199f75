//! One command from start to end, through broken connections and restarts of the conductor.

use std::time::Duration;

use tacit_protocol::v1::{Command, CommandRequest, CommandStatus};
use tokio::time::Instant;

use super::client::{IpaClient, Sent};
use super::record::IpaRecord;
use crate::agents::attempts::Attempts;
use crate::agents::backoff::Backoff;
use crate::agents::error::AgentError;
use crate::media::BoxError;

/// Pauses between two looks at a command: IPA tells nothing by itself.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What IPA is to do.
pub struct IpaOperation<'a> {
    /// The conductor's own name of it, the same after a restart of the conductor.
    pub id: &'a str,
    /// [`IpaStatus::run_id`](super::IpaStatus::run_id) of the IPA that is to do it: in another run nothing is begun.
    pub run_id: &'a str,
    pub request: &'a CommandRequest,
}

impl IpaClient {
    /// Sends a command and follows it to its end, whether it succeeds or not. With what an earlier conductor `kept` of
    /// the same operation, the command is looked for instead. `keep` writes down what is known, before the command is
    /// sent and again when IPA's id of it is known.
    ///
    /// Connections may break at any time: it dials again until IPA was silent for the whole patience.
    ///
    /// # Errors
    /// [`AgentError::AgentRestarted`] when another run of IPA answers or the command is gone,
    /// [`AgentError::Refused`] with 409 when IPA works on something else for longer than patience lasts,
    /// [`AgentError::Unknowable`] when the command may be there and cannot be found, and any error that no waiting
    /// can mend.
    pub async fn run(
        &self,
        operation: &IpaOperation<'_>,
        kept: Option<IpaRecord>,
        keep: impl FnMut(&IpaRecord) -> Result<(), BoxError>,
    ) -> Result<Command, AgentError> {
        let attempts = Attempts::new(self.patience);
        let command = Follow { client: self, operation, keep, attempts }.complete(kept).await?;
        let bare = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        if bare(&command.command_name) != bare(&operation.request.name) {
            let detail = "the command that it answers with is another one".to_owned();
            return Err(AgentError::Protocol { address: self.address(), detail });
        }
        Ok(command)
    }
}

struct Follow<'a, K> {
    client: &'a IpaClient,
    operation: &'a IpaOperation<'a>,
    keep: K,
    attempts: Attempts,
}

impl<K: FnMut(&IpaRecord) -> Result<(), BoxError>> Follow<'_, K> {
    async fn complete(mut self, kept: Option<IpaRecord>) -> Result<Command, AgentError> {
        self.same_run().await?;
        let kept = kept.filter(|record| record.operation == self.operation.id);
        let command = match kept {
            Some(IpaRecord { id: Some(id), .. }) => self.look(&id).await?,
            Some(record) => match self.find(&record).await? {
                Some(command) => self.found(record, command)?,
                // An earlier conductor wrote it down and did not come to send it.
                None => self.send(record).await?,
            },
            None => {
                let known =
                    self.listed().await?.map(|all| all.into_iter().map(|command| command.id).collect());
                let (operation, command) =
                    (self.operation.id.to_owned(), self.operation.request.name.clone());
                let record = IpaRecord { operation, command, known, id: None };
                self.note(&record)?;
                self.send(record).await?
            }
        };
        self.until_final(command).await
    }

    /// # Errors
    /// When IPA was started again since it first answered: what it did before is lost, and it must not be begun again.
    async fn same_run(&mut self) -> Result<(), AgentError> {
        let status = loop {
            let answer = self.client.status().await;
            if let Some(status) = self.attempts.take(answer).await? {
                break status;
            }
        };
        if status.run_id() == self.operation.run_id {
            return Ok(());
        }
        Err(self.restarted("it was started again since it first answered"))
    }

    /// Sends the command; again only where it cannot have arrived.
    async fn send(&mut self, record: IpaRecord) -> Result<Command, AgentError> {
        let mut busy = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        let started = Instant::now();
        loop {
            match self.client.send(self.operation.request).await {
                Sent::Taken(command) => return self.found(record, command),
                Sent::Refused(error) => return Err(error),
                Sent::Unsent(error) => {
                    let last = self.pause(error, started).await?;
                    self.same_run().await?;
                    if let Some(error) = last {
                        return Err(error);
                    }
                }
                Sent::Unknown(error) => {
                    let last = self.pause(error, started).await?;
                    self.same_run().await?;
                    if let Some(command) = self.find(&record).await? {
                        return self.found(record, command);
                    }
                    if let Some(error) = last {
                        return Err(error);
                    }
                }
                Sent::Busy(error) => {
                    // What it works on may be this very command, whose answer was lost.
                    if record.known.is_some()
                        && let Some(command) = self.find(&record).await?
                    {
                        return self.found(record, command);
                    }
                    if started.elapsed() > self.client.patience {
                        return Err(error);
                    }
                    tokio::time::sleep(busy.delay()).await;
                }
            }
        }
    }

    /// Waits before the next attempt, or returns the error when there have been enough: what lets small questions
    /// through may never let the command pass.
    async fn pause(&mut self, error: AgentError, started: Instant) -> Result<Option<AgentError>, AgentError> {
        if started.elapsed() > self.client.patience {
            return Ok(Some(error));
        }
        self.attempts.take::<()>(Err(error)).await.map(|_| None)
    }

    /// The newest command of this name that was not there before it was written down.
    async fn find(&mut self, record: &IpaRecord) -> Result<Option<Command>, AgentError> {
        let (Some(known), Some(all)) = (&record.known, self.listed().await?) else {
            return Err(AgentError::Unknowable {
                address: self.client.address(),
                operation: self.operation.request.name.clone(),
                detail: "it cannot list its commands any more; restart it".to_owned(),
            });
        };
        let bare = self.operation.request.name.rsplit('.').next();
        let ours = |command: &Command| {
            !known.contains(&command.id) && command.command_name.rsplit('.').next() == bare
        };
        Ok(all.into_iter().rev().find(ours))
    }

    /// What IPA lists; `None` when it cannot, which no waiting mends (a command failed with what is no JSON).
    async fn listed(&mut self) -> Result<Option<Vec<Command>>, AgentError> {
        loop {
            let answer = match self.client.commands().await {
                Err(AgentError::Refused { status: 500, .. }) => Ok(None),
                answer => answer.map(Some),
            };
            if let Some(listed) = self.attempts.take(answer).await? {
                return Ok(listed);
            }
        }
    }

    fn found(&mut self, mut record: IpaRecord, command: Command) -> Result<Command, AgentError> {
        record.id = Some(command.id.clone());
        self.note(&record)?;
        Ok(command)
    }

    fn note(&mut self, record: &IpaRecord) -> Result<(), AgentError> {
        (self.keep)(record).map_err(AgentError::Unrecorded)
    }

    async fn until_final(&mut self, mut command: Command) -> Result<Command, AgentError> {
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while command.command_status == CommandStatus::Running {
            tokio::time::sleep(pauses.delay()).await;
            command = self.look(&command.id).await?;
        }
        Ok(command)
    }

    async fn look(&mut self, id: &str) -> Result<Command, AgentError> {
        loop {
            let answer = self.client.command(id).await;
            match self.attempts.take(answer).await? {
                Some(Some(command)) => return Ok(command),
                Some(None) => return Err(self.restarted("it does not know the command any more")),
                None => {}
            }
        }
    }

    fn restarted(&self, detail: &str) -> AgentError {
        AgentError::AgentRestarted {
            address: self.client.address(),
            operation: self.operation.request.name.clone(),
            detail: detail.to_owned(),
        }
    }
}
