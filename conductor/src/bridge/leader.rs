//! Leads one node: finds its agent, asks Ironic for it, follows it, and begins anew.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::agents::{AgentError, Backoff};
use crate::chain::chain;

use super::contact::{Contact, contact};
use super::handle::{Handle, Phase};
use super::keep::Lease;
use super::metrics::Counter;
use super::session::Life;
use super::shared::{Interest, InterestReceiver, Shared, Trouble};

/// Pauses between attempts while something is wanted; they grow to the longer one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How long an agent that Ironic does not wait for may be silent before it is taken to be gone for good: longer than
/// what keeps a node on the fast track.
const GONE: Duration = Duration::from_secs(330);
const LEASE_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Leader {
    pub(super) shared: Arc<Shared>,
    pub(super) handle: Arc<Handle>,
    pub(super) interest: InterestReceiver,
    /// Whether this process has followed the session from its start.
    pub(super) watched: bool,
    /// When Ironic last led an agent here.
    seen: Option<Instant>,
    /// The life of the agent that has the right time.
    on_time: Option<Life>,
    lease: Option<Lease>,
    /// Of a node that the configuration names by its network addresses: the right to lead it under its UUID.
    claimed: Option<(Uuid, Lease)>,
    /// Ironic has what an inspection found, and has not said since what it waits for.
    pub(super) handed_over: bool,
    /// What was said last: the same again is not news.
    said: String,
}

impl Leader {
    pub(super) fn new(shared: Arc<Shared>, handle: Arc<Handle>, interest: InterestReceiver) -> Self {
        let (seen, on_time, lease, claimed) = (None, None, None, None);
        Self {
            shared,
            handle,
            interest,
            watched: false,
            handed_over: false,
            seen,
            on_time,
            lease,
            claimed,
            said: String::new(),
        }
    }

    /// Takes the lease of the node, and over what an earlier bridge left.
    pub(super) fn claim(&mut self) -> bool {
        if self.lease.is_none() {
            match self.shared.keep.lease(self.handle.key()) {
                Ok(Some(lease)) => self.lease = Some(lease),
                Ok(None) => {
                    self.handle.set_phase(Phase::Elsewhere);
                    self.say("another bridge leads this node");
                    return false;
                }
                Err(error) => {
                    self.say(&chain(&error));
                    return false;
                }
            }
        }
        // Without what was promised nobody knows what the agent runs: an error here needs a person.
        self.handle.recall().map_err(|error| self.say(&chain(&error))).is_ok()
    }

    /// Leads until it is told to end. What Ironic was promised goes on: the session stays on disk.
    pub(super) async fn lead(mut self, end: CancellationToken) {
        // Thousands of nodes do not begin in the same instant.
        let mut spread = Backoff::new(PAUSES.0, PAUSES.0);
        tokio::select! {
            () = end.cancelled() => {}
            () = async { tokio::time::sleep(spread.delay() / 2).await; self.with_lease().await; } => {}
        }
        self.handle.set_contact(None);
        self.handle.set_lending(None);
    }

    async fn with_lease(&mut self) {
        while !self.handle.is_recalled() && !self.claim() {
            tokio::time::sleep(Backoff::new(LEASE_PAUSE, LEASE_PAUSE).delay()).await;
        }
        let mut backoff = Backoff::new(PAUSES.0, PAUSES.1);
        loop {
            let ended = self.round().await;
            self.handle.set_contact(None);
            let pause = match ended {
                Ok(()) => {
                    backoff.reset();
                    PAUSES.0
                }
                Err(trouble) => {
                    self.tell(&trouble);
                    let gone = self.seen.is_none_or(|seen| seen.elapsed() > GONE);
                    if gone && self.interest.borrow().is_idle() {
                        self.rest().await;
                        continue;
                    }
                    let known = *self.interest.borrow() != Interest::Unknown;
                    match trouble {
                        // Nobody says when Ironic begins to wait: look often enough, but not more.
                        Trouble::NotNow | Trouble::TokenTold | Trouble::UnknownMachine(_) if !known => {
                            backoff.delay().max(PAUSES.1)
                        }
                        Trouble::NotReady(_) => PAUSES.0,
                        _ => backoff.delay(),
                    }
                }
            };
            self.pause(pause).await;
        }
    }

    /// Makes sure that nobody else leads the node under its UUID, where the configuration does not name it so.
    pub(super) fn claim_node(&mut self, node: Uuid) -> Result<(), Trouble> {
        let claimed = self.claimed.as_ref().is_some_and(|(claimed, _)| *claimed == node);
        if self.handle.node.uuid.is_none() && !claimed {
            let lease = self.shared.keep.lease(&node.to_string())?;
            let lease =
                lease.ok_or_else(|| Trouble::Other(format!("node {node} is led as another one already")))?;
            self.claimed = Some((node, lease));
        }
        Ok(())
    }

    /// Sleeps, unless Ironic begins to wait for the node, or the proxy has heard from it.
    async fn pause(&mut self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = self.handle.bell.notified() => {}
            Ok(()) = self.interest.changed() => {}
        }
    }

    /// Until Ironic begins to wait for the node, or calls its agent. The address may be somebody else's meanwhile.
    pub(super) async fn rest(&mut self) {
        self.handle.set_phase(Phase::Idle);
        self.handle.set_contact(None);
        self.handle.set_lending(None);
        self.watched = false;
        tokio::select! {
            // An error is that nobody tells any more: then this task ends, too.
            told = self.interest.wait_for(|interest| !interest.is_idle()) => drop(told),
            () = self.handle.bell.notified() => {}
        }
    }

    /// Once through: until the agent is gone, or something is in the way.
    async fn round(&mut self) -> Result<(), Trouble> {
        while self.handle.session().is_none() && self.interest.borrow().is_idle() {
            self.rest().await;
        }
        if let Some(node) = self.handle.with_session(|session| session.node) {
            self.claim_node(node)?;
        }
        if self.handle.with_session(|session| session.broken.is_some()) == Some(true) {
            return self.fail().await;
        }
        self.handle.set_phase(Phase::Searching);
        let pinned = self.handle.with_session(|session| session.life.certificate.clone());
        let found = contact(&self.shared, &self.handle.node, pinned.as_deref()).await;
        let found = match (found, pinned) {
            (Err(error @ AgentError::WrongMachine { .. }), Some(_))
                if self.handle.node.certificate.is_none() =>
            {
                self.another_certificate(error).await?
            }
            (found, _) => found.inspect_err(|error| self.count_stranger(error))?,
        };
        self.handle.set_phase(Phase::Asking);
        self.set_clock(&found).await?;
        if found.preparing {
            return Err(Trouble::NotReady("drivers and hardware managers are still being loaded"));
        }
        self.take_up(&found).await?;
        if self.handle.session().is_none() {
            self.ask(&found).await?;
        }
        if self.handle.with_session(|session| session.broken.is_some()) == Some(true) {
            return self.fail().await;
        }
        self.watched = true;
        self.say("Ironic leads the agent now");
        let ended = self.drive(&found).await;
        self.seen = Some(Instant::now());
        ended
    }

    /// Gives an agent the right time, once in each of its lives.
    pub(super) async fn set_clock(&mut self, found: &Contact) -> Result<(), Trouble> {
        if self.on_time.as_ref() != Some(&found.life) {
            found.client.set_clock().await?;
            self.on_time = Some(found.life.clone());
        }
        Ok(())
    }

    fn count_stranger(&self, error: &AgentError) {
        if let AgentError::WrongMachine { .. } = error {
            let counter = match self.handle.node.certificate {
                Some(_) => Counter::CertificatesRefused,
                None => Counter::WrongMachines,
            };
            self.shared.metrics.count(counter, "configured");
        }
    }

    pub(super) fn tell(&mut self, trouble: &Trouble) {
        let text = chain(trouble);
        if trouble.is_usual() {
            tracing::debug!(node = self.handle.key(), "{text}");
            return;
        }
        self.say(&text);
    }

    /// Says something once, until something else is said.
    pub(super) fn say(&mut self, text: &str) {
        if self.said == text {
            tracing::debug!(node = self.handle.key(), "{text}");
        } else {
            tracing::info!(node = self.handle.key(), "{text}");
            text.clone_into(&mut self.said);
        }
    }
}
