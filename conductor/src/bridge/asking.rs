//! What Ironic is asked for a node: who it is, and its token.

use std::time::Duration;

use uuid::Uuid;

use crate::agents::Backoff;

use super::commands;
use super::config::Mode;
use super::contact::Contact;
use super::drive::Beaten;
use super::ironic::{IronicError, Lookup, Token};
use super::leader::Leader;
use super::metrics::Counter;
use super::secret;
use super::session::{Origin, Session};
use super::shared::{Interest, Trouble};

/// How often Ironic is offered an inspection that it could not take just then.
const INSPECTION_ATTEMPTS: u32 = 4;
const INSPECTION_PAUSES: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));

impl Leader {
    /// Begins a session with a token that the agent shows, on trial: the one before holds again when Ironic refuses the
    /// token (`false`).
    pub(super) async fn try_token(&mut self, found: &Contact, token: &str) -> Result<bool, Trouble> {
        let mut before = self.handle.session();
        let former = before.as_mut().and_then(|session| session.former.take()).or(before.map(Box::new));
        if former.as_ref().is_some_and(|former| secret::equal(token, &former.token)) {
            self.handle.put(former.map(|former| *former)).await?;
            return Err(Trouble::Other("its agent shows the former token again".to_owned()));
        }
        self.set_clock(found).await?;
        let Lookup { node, token: told, heartbeat_timeout } = self.lookup(found).await?;
        if let Token::Given(token) = told {
            // It had none, and tells this one once: what was before is over.
            self.establish(found, node, token, Origin::Lookup, heartbeat_timeout).await?;
            return Ok(true);
        }
        let session = self.session(found, node, token.to_owned(), Origin::Medium, heartbeat_timeout)?;
        self.handle.put(Some(Session { former, ..session })).await?;
        self.watched = true;
        self.introduce(found).await?;
        Ok(!matches!(self.beat().await?, Beaten::Over))
    }

    /// What comes before Ironic hears of an agent: it is not busy, and an inspection that may be awaited is over.
    pub(super) async fn introduce(&mut self, found: &Contact) -> Result<(), Trouble> {
        if self.handle.with_session(|session| session.announced) != Some(false) {
            return Ok(());
        }
        ready(found).await?;
        if self.handle.with_session(|session| session.inspected) == Some(false) {
            self.inspect(found).await?;
            self.handle.change(|session| session.inspected = true).await?;
            ready(found).await?;
        }
        Ok(())
    }

    /// Asks Ironic for the node and its token.
    pub(super) async fn ask(&mut self, found: &Contact) -> Result<(), Trouble> {
        let told = self.lookup(found).await?;
        let (token, origin) = match (told.token, found.medium_token()) {
            (Token::Given(token), _) => (token, Origin::Lookup),
            (Token::Masked, Some(token)) => (token.to_owned(), Origin::Medium),
            (Token::Masked, None) => {
                self.shared.metrics.count(Counter::TokensMissing, "told");
                return Err(Trouble::TokenTold);
            }
            (Token::Absent, _) => {
                let text = "this Ironic gives no agent tokens (API 1.62 or later is needed)";
                return Err(Trouble::Other(text.to_owned()));
            }
        };
        self.establish(found, told.node, token, origin, told.heartbeat_timeout).await
    }

    /// Hands over what an inspection finds, if Ironic may wait for one. Before the first heartbeat, as it makes the agent
    /// busy for a moment; where states are known, also later, as the ramdisk may be faster than Ironic.
    pub(super) async fn inspect(&mut self, found: &Contact) -> Result<(), Trouble> {
        if !self.handle.node.inspection || !self.interest.borrow().may_inspect() {
            return Ok(());
        }
        let awaited = self.waits_for_inspection();
        match self.hand_over_inspection(found).await {
            // Nobody is known to wait for it, and perhaps for something else.
            Err(trouble) if !awaited => {
                self.tell(&trouble);
                Ok(())
            }
            ended => ended,
        }
    }

    async fn hand_over_inspection(&mut self, found: &Contact) -> Result<(), Trouble> {
        let data = commands::inspection_data(&found.client, &self.shared.collectors).await?;
        let mut backoff = Backoff::new(INSPECTION_PAUSES.0, INSPECTION_PAUSES.1);
        for left in (0..INSPECTION_ATTEMPTS).rev() {
            let answer = self.shared.ironic.continue_inspection(self.uuid(), data.clone()).await;
            let result = answer.as_ref().map_or_else(IronicError::kind, |()| "ok");
            self.shared.metrics.count(Counter::Inspections, result);
            match answer {
                Ok(()) => {
                    self.say("what the inspection found is with Ironic");
                    self.handed_over = true;
                    self.interest.mark_unchanged();
                    break;
                }
                // It waits for something else.
                Err(IronicError::Refused { status: 404, .. }) => break,
                Err(IronicError::Refused { status: 409 | 500.., .. } | IronicError::Unreachable(_))
                    if left > 0 =>
                {
                    tokio::time::sleep(backoff.delay()).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Ironic may begin to wait for an inspection only now, where it was asked a little early; what it says of the one
    /// that it has just got may be old.
    pub(super) fn waits_for_inspection(&mut self) -> bool {
        if self.interest.has_changed().unwrap_or(false) {
            self.handed_over = false;
        }
        !self.handed_over
            && matches!(&*self.interest.borrow(), Interest::Waiting(state) if state == "inspect wait")
    }

    /// Asks Ironic for the node. Which machine it is, Ironic is asked by the machine's own interfaces where nothing else
    /// says it: beside a UUID it does not look at them. What Ironic has told to another leader of this bridge is the
    /// answer here, if the machine has shown which one it is.
    pub(super) async fn lookup(&mut self, found: &Contact) -> Result<Lookup, Trouble> {
        let (uuid, macs) = match &found.unproven {
            Some(shown) if !shown.is_empty() => (None, shown),
            Some(_) if self.handle.node.discovered => {
                return Err(Trouble::UnknownMachine("it shows no interface".to_owned()));
            }
            _ => (self.uuid(), &self.handle.node.macs),
        };
        let answer = self.shared.ironic.lookup(uuid, macs).await;
        self.shared.metrics.count(Counter::Lookups, answer.as_ref().map_or_else(IronicError::kind, |_| "ok"));
        if let Ok(Lookup { node, token: Token::Given(token), .. }) = &answer {
            self.shared.untaken.keep(*node, token);
        }
        match answer {
            Ok(told) if self.uuid().is_some_and(|uuid| uuid != told.node) => {
                self.shared.metrics.count(Counter::WrongMachines, "node");
                Err(Trouble::Other(format!("Ironic knows it as another node, {}", told.node)))
            }
            Ok(mut told) => {
                self.claim_node(told.node)?;
                let is_proven = found.unproven.as_ref().is_none_or(|shown| !shown.is_empty());
                if told.token == Token::Masked && is_proven {
                    let untaken = self.shared.untaken.find(told.node);
                    told.token = untaken.map_or(Token::Masked, Token::Given);
                }
                Ok(told)
            }
            Err(IronicError::Refused { status: 404, .. }) => Err(match &found.unproven {
                Some(shown) => Trouble::UnknownMachine(shown.join(", ")),
                None => Trouble::NotNow,
            }),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn uuid(&self) -> Option<Uuid> {
        self.handle.node.uuid.or_else(|| self.handle.with_session(|session| session.node))
    }

    /// Begins a session. It is on disk before anybody else hears of the token: no lookup tells it again.
    pub(super) async fn establish(
        &mut self,
        found: &Contact,
        node: Uuid,
        token: String,
        origin: Origin,
        heartbeat_timeout: Duration,
    ) -> Result<(), Trouble> {
        let session = self.session(found, node, token.clone(), origin, heartbeat_timeout)?;
        self.watched = true;
        self.handle.put(Some(session)).await?;
        self.shared.untaken.taken(node, &token);
        Ok(())
    }

    pub(super) fn session(
        &self,
        found: &Contact,
        node: Uuid,
        token: String,
        origin: Origin,
        heartbeat_timeout: Duration,
    ) -> Result<Session, Trouble> {
        let mode = self.handle.node.mode;
        let (callback_url, verify_ca) = match (mode, &self.shared.proxy) {
            (Mode::Relay, _) => {
                let address = self.handle.node.address;
                (format!("https://{address}"), Some(found.life.certificate.clone()))
            }
            (Mode::Proxy, Some(proxy)) => (format!("{}/agents/{node}", proxy.url), proxy.verify_ca.clone()),
            (Mode::Proxy, None) => {
                return Err(Trouble::Other(
                    "it is to be reached through the proxy, and there is none".to_owned(),
                ));
            }
        };
        Ok(Session {
            node,
            token,
            origin,
            mode,
            address: Some(self.handle.node.address),
            heartbeat_timeout_seconds: heartbeat_timeout.as_secs(),
            callback_url,
            verify_ca,
            life: found.life.clone(),
            last: None,
            broken: None,
            images: Vec::new(),
            kind: None,
            announced: false,
            accepted: false,
            former: None,
            inspected: false,
        })
    }
}

/// A busy agent refuses what Ironic asks first; Ironic takes that for "it has no steps", and calls the node clean.
async fn ready(found: &Contact) -> Result<(), Trouble> {
    let status = found.client.status().await?;
    if status.preparing {
        return Err(Trouble::NotReady("drivers and hardware managers are still being loaded"));
    }
    if status.running.is_some() {
        return Err(Trouble::NotReady("it is busy with what Ironic has not asked for"));
    }
    Ok(())
}
