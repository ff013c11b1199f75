//! Leads one node: finds its agent, asks Ironic for it, follows it, and begins anew.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::agents::{AgentError, Backoff};
use crate::chain::chain;

use super::contact::contact;
use super::handle::{Handle, Phase};
use super::metrics::Counter;
use super::shared::{Interest, InterestReceiver, Shared, Trouble};

/// Pauses between attempts while something is wanted; they grow to the longer one.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// Between two looks at a machine that nobody is known to wait for.
const RARELY: Duration = Duration::from_secs(60);
const LEASE_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Leader {
    pub(super) shared: Arc<Shared>,
    pub(super) handle: Arc<Handle>,
    pub(super) interest: InterestReceiver,
    /// Whether this process has followed the session from its start.
    pub(super) watched: bool,
    /// What was said last: the same again is not news.
    said: String,
}

impl Leader {
    pub(super) fn new(shared: Arc<Shared>, handle: Arc<Handle>, interest: InterestReceiver) -> Self {
        Self { shared, handle, interest, watched: false, said: String::new() }
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
        let _lease = loop {
            match self.shared.keep.lease(self.handle.key()) {
                Ok(Some(lease)) => break lease,
                Ok(None) => {
                    self.handle.set_phase(Phase::Elsewhere);
                    self.say("another bridge leads this node");
                }
                Err(error) => self.say(&chain(&error)),
            }
            tokio::time::sleep(Backoff::new(LEASE_PAUSE, LEASE_PAUSE).delay()).await;
        };
        while let Err(error) = self.handle.recall() {
            // Without what was promised nobody knows what the agent runs: this needs a person.
            self.say(&chain(&error));
            tokio::time::sleep(RARELY).await;
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
                    let sought = self.handle.session().is_some() || !self.interest.borrow().is_idle();
                    let known = *self.interest.borrow() != Interest::Unknown;
                    match trouble {
                        // Nobody says when Ironic begins to wait: look often enough, but not more.
                        Trouble::NotNow | Trouble::TokenTold if !known => backoff.delay().max(PAUSES.1),
                        _ if sought => backoff.delay(),
                        _ => RARELY,
                    }
                }
            };
            self.pause(pause).await;
        }
    }

    /// Sleeps, unless Ironic begins to wait for the node, or the proxy has heard from it.
    async fn pause(&mut self, length: Duration) {
        tokio::select! {
            () = tokio::time::sleep(length) => {}
            () = self.handle.bell.notified() => {}
            Ok(()) = self.interest.changed() => {}
        }
    }

    /// Once through: until the agent is gone, or something is in the way.
    async fn round(&mut self) -> Result<(), Trouble> {
        if self.handle.session().is_none() && self.interest.borrow().is_idle() {
            self.handle.set_phase(Phase::Idle);
            self.watched = false;
            // An error is that nobody tells any more: then this task ends, too.
            drop(self.interest.wait_for(|interest| !interest.is_idle()).await);
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
        self.take_up(&found).await?;
        if self.handle.session().is_none() {
            self.ask(&found).await?;
        }
        if self.handle.with_session(|session| session.broken.is_some()) == Some(true) {
            return self.fail().await;
        }
        self.watched = true;
        self.say("Ironic leads the agent now");
        self.drive(&found).await
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
