//! One operation from start to end, through broken connections.

use std::sync::Arc;
use std::time::Duration;

use tacit_protocol::v2::{self, EventKind, Operation, OperationRequest};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::images::Allowance;

use super::attempts::Attempts;
use super::backoff::Backoff;
use super::client::AgentClient;
use super::error::AgentError;

/// Each long poll; short enough that a lost connection without a sign is noticed.
const POLL: Duration = Duration::from_secs(25);
/// Connections that an agent may use at once; there is one more that lies idle.
const LENT: usize = 8;

impl AgentClient {
    /// Starts the operation, or attaches to the one that runs under this id already; keeps one idle connection lent
    /// to the agent meanwhile when there is an `allowance`; hands over each event of the operation, and those that
    /// belong to none; returns the final operation, whether it succeeded or not.
    ///
    /// Connections may break at any time: it dials again until the agent was silent for the whole patience.
    ///
    /// # Errors
    /// [`AgentError::AgentRestarted`] when the agent lost the operation, any error that no waiting can mend, and
    /// [`AgentError::Unreachable`] when patience ends.
    pub async fn run(
        &self,
        id: &str,
        request: &OperationRequest,
        allowance: Option<Arc<Allowance>>,
        on_event: impl FnMut(&v2::Event),
    ) -> Result<Operation, AgentError> {
        let follow = Follow {
            client: self,
            id,
            on_event,
            boot_id: self.boot_id.clone(),
            cursor: 0,
            attempts: Attempts::new(self.patience),
        };
        match allowance {
            None => follow.complete(request).await,
            Some(allowance) => tokio::select! {
                end = follow.complete(request) => end,
                error = keep_lent(self.clone(), allowance) => Err(error),
            },
        }
    }
}

struct Follow<'a, F> {
    client: &'a AgentClient,
    id: &'a str,
    on_event: F,
    /// The boot that the operation belongs to; until the agent answered, the caller's.
    boot_id: Option<String>,
    cursor: u64,
    attempts: Attempts,
}

impl<F: FnMut(&v2::Event)> Follow<'_, F> {
    async fn complete(mut self, request: &OperationRequest) -> Result<Operation, AgentError> {
        let client = self.client;
        // Not those of the status: an agent that answers it, and never the request, would be asked for ever.
        let mut beginning = Attempts::new(client.patience);
        loop {
            // Every time: what was begun may be lost with the boot in which that was.
            let status = self.same_boot().await?;
            let answer = match client.start_or_attach(self.id, request).await {
                // Ours, begun before what the request is made of was changed: the node's record, a setting.
                Err(error @ AgentError::Refused { status: 409, .. }) => match client.operation(self.id).await
                {
                    Ok(known) => known.map(|operation| (operation, false)).ok_or(error),
                    Err(error) => Err(error),
                },
                answer => answer,
            };
            if let Some((operation, started)) = beginning.take(answer).await? {
                // Events older than an operation that has just begun do not concern it.
                self.cursor = if started { status.last_event } else { 0 };
                if operation.state.is_final() {
                    return self.drain(operation).await;
                }
                break;
            }
        }
        let (mut ending, mut looked) = (false, false);
        loop {
            let wait = if ending { Duration::from_secs(1) } else { POLL };
            let answer = match client.more_events(self.cursor, wait).await {
                Some(answer) => answer,
                // A new connection may lead to a process that knows nothing: look before waiting for its events.
                None if !looked => {
                    looked = true;
                    if let Some(operation) = self.still_there().await? {
                        return self.drain(operation).await;
                    }
                    continue;
                }
                None => client.events(self.cursor, wait).await,
            };
            looked = false;
            let Some(page) = self.attempts.take(answer).await? else {
                // The agent may have restarted meanwhile, and its event numbers with it.
                if let Some(operation) = self.still_there().await? {
                    return self.drain(operation).await;
                }
                continue;
            };
            let silent = page.events.is_empty();
            let gap = page.lost > 0;
            ending |= self.deliver(page)?;
            if (ending || silent || gap)
                && let Some(operation) = self.still_there().await?
            {
                return self.drain(operation).await;
            }
        }
    }

    /// # Errors
    /// When the machine was started again: what it did before is lost, and must not be begun again as if it were not.
    async fn same_boot(&mut self) -> Result<v2::Status, AgentError> {
        loop {
            let answer = self.client.status().await;
            if let Some(status) = self.attempts.take(answer).await? {
                self.belongs(&status.boot_id)?;
                return Ok(status);
            }
        }
    }

    fn belongs(&mut self, boot_id: &str) -> Result<(), AgentError> {
        let ours = self.boot_id.get_or_insert_with(|| boot_id.to_owned());
        if ours == boot_id {
            return Ok(());
        }
        let detail = format!("the machine was started again, boot {ours} became boot {boot_id}");
        Err(self.restarted(detail))
    }

    /// The operation, once it is final. `None` while it runs, and when that cannot be known now.
    async fn still_there(&mut self) -> Result<Option<Operation>, AgentError> {
        let answer = self.client.operation(self.id).await;
        match self.attempts.take(answer).await? {
            Some(Some(operation)) => Ok(operation.state.is_final().then_some(operation)),
            Some(None) => Err(self.restarted("it does not know the operation any more".to_owned())),
            None => Ok(None),
        }
    }

    /// Hands the events on; true when the operation's end was among them.
    fn deliver(&mut self, page: v2::EventPage) -> Result<bool, AgentError> {
        self.belongs(&page.boot_id)?;
        let mut finished = false;
        for event in &page.events {
            let own = event.operation.as_deref() == Some(self.id);
            if own || event.operation.is_none() {
                (self.on_event)(event);
            }
            finished |= own && matches!(event.kind, EventKind::Finished { .. });
        }
        // Lower than asked for when the agent's process restarted: its numbers began anew.
        self.cursor = page.last;
        Ok(finished)
    }

    /// The events that came between the last page and the end. The result does not depend on them.
    async fn drain(&mut self, operation: Operation) -> Result<Operation, AgentError> {
        match self.client.events(self.cursor, Duration::ZERO).await {
            Ok(page) => {
                self.deliver(page)?;
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "last events not read");
            }
        }
        Ok(operation)
    }

    fn restarted(&self, detail: String) -> AgentError {
        AgentError::AgentRestarted { address: self.client.address(), operation: self.id.to_owned(), detail }
    }
}

/// Keeps one unused connection lent; ends only with an error that waiting cannot mend.
pub async fn keep_lent(client: AgentClient, allowance: Arc<Allowance>) -> AgentError {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    let mut lent = JoinSet::new();
    loop {
        // Reaps those that ended, and waits for an end when too many are in use.
        while lent.try_join_next().is_some() {}
        if lent.len() >= LENT {
            lent.join_next().await;
        }
        let offered = match client.offer().await {
            Ok(offered) => offered,
            // An agent that has enough of them says so, and may say otherwise later.
            Err(error) if error.is_transient() || matches!(error, AgentError::Refused { .. }) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no connection lent");
                tokio::time::sleep(backoff.delay()).await;
                continue;
            }
            Err(error) => return error,
        };
        let (taken, is_taken) = oneshot::channel();
        let allowance = Arc::clone(&allowance);
        lent.spawn(async move {
            let end = offered.serve(allowance, taken).await;
            if let Some(reason) = end.broken {
                tracing::info!(requests = end.requests, reason, "lent connection broke");
            }
        });
        match is_taken.await {
            Ok(()) => backoff.reset(),
            // Ended unused: the agent restarts, or the link is bad. Not again at once.
            Err(_) => tokio::time::sleep(backoff.delay()).await,
        }
    }
}
