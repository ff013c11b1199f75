//! What Ironic is asked for a node: who it is, and its token.

use std::time::Duration;

use uuid::Uuid;

use super::commands;
use super::config::Mode;
use super::contact::Contact;
use super::ironic::{Beat, IronicError, Lookup, Token};
use super::leader::Leader;
use super::metrics::Counter;
use super::session::{Origin, Session};
use super::shared::Trouble;

impl Leader {
    /// Asks Ironic whether a token that an agent shows is the one of its node now, with a heartbeat. Where it is, a
    /// new session begins.
    pub(super) async fn try_token(&mut self, found: &Contact, token: &str) -> Result<bool, Trouble> {
        let Lookup { node, heartbeat_timeout, .. } = self.lookup().await?;
        let mut session = self.session(found, node, token.to_owned(), Origin::Medium, heartbeat_timeout)?;
        session.announced = true;
        let beat =
            Beat { callback_url: &session.callback_url, token, verify_ca: session.verify_ca.as_deref() };
        match self.shared.ironic.heartbeat(node, &beat).await {
            Ok(()) => {
                self.handle.put(Some(session)).await?;
                Ok(true)
            }
            Err(IronicError::Refused { status: 400, .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Asks Ironic for the node and its token.
    pub(super) async fn ask(&mut self, found: &Contact) -> Result<(), Trouble> {
        let told = self.lookup().await?;
        let (token, origin) = match (told.token, found.token()) {
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
        let data = commands::inspection_data(&found.client, &self.shared.collectors).await?;
        let answer = self.shared.ironic.continue_inspection(self.uuid(), data).await;
        let result = answer.as_ref().map_or_else(IronicError::kind, |()| "ok");
        self.shared.metrics.count(Counter::Inspections, result);
        match answer {
            Ok(()) => self.say("what the inspection found is with Ironic"),
            // It waits for something else.
            Err(IronicError::Refused { status: 404, .. }) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    pub(super) async fn lookup(&self) -> Result<Lookup, Trouble> {
        let answer = self.shared.ironic.lookup(self.uuid(), &self.handle.node.macs).await;
        self.shared.metrics.count(Counter::Lookups, answer.as_ref().map_or_else(IronicError::kind, |_| "ok"));
        match answer {
            Ok(told) if self.uuid().is_some_and(|uuid| uuid != told.node) => {
                Err(Trouble::Other(format!("Ironic knows it as another node, {}", told.node)))
            }
            Ok(told) => Ok(told),
            Err(IronicError::Refused { status: 404, .. }) => Err(Trouble::NotNow),
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
        let session = self.session(found, node, token, origin, heartbeat_timeout)?;
        self.watched = true;
        Ok(self.handle.put(Some(session)).await?)
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
            heartbeat_timeout_seconds: heartbeat_timeout.as_secs(),
            callback_url,
            verify_ca,
            life: found.life.clone(),
            last: None,
            broken: None,
            images: Vec::new(),
            announced: false,
            inspected: false,
        })
    }
}
