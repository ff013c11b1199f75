//! What became of a session whose agent is another one than before.

use uuid::Uuid;

use crate::agents::AgentError;
use crate::chain::chain;

use super::commands;
use super::config::Mode;
use super::contact::{Contact, contact};
use super::ironic::{Lookup, Token};
use super::judge::{Verdict, judge};
use super::leader::Leader;
use super::metrics::Counter;
use super::secret;
use super::session::{Broken, Origin, Session};
use super::shared::Trouble;

impl Leader {
    /// The certificate of the session's life is gone. Either the machine booted again, or it is not the machine.
    pub(super) async fn another_certificate(&mut self, error: AgentError) -> Result<Contact, Trouble> {
        let session = self.handle.session().ok_or(Trouble::NotNow)?;
        let found = match contact(&self.shared, &self.handle.node, None).await {
            Ok(found) => found,
            Err(gone @ AgentError::Unreachable { .. }) => return Err(gone.into()),
            Err(stranger) => {
                self.refuse(&error);
                return Err(stranger.into());
            }
        };
        match (session.origin, found.medium_token()) {
            // Only the machine that read the medium can know this.
            (Origin::Medium, Some(token)) if secret::equal(token, &session.token) => return Ok(found),
            (_, Some(token)) if self.try_token(&found, token).await? => return Ok(found),
            _ => {}
        }
        let session = self.handle.session().ok_or(Trouble::NotNow)?;
        match self.lookup(&found).await {
            Ok(Lookup { node, token: Token::Given(token), heartbeat_timeout }) => {
                self.establish(&found, node, token, Origin::Lookup, heartbeat_timeout).await?;
                Ok(found)
            }
            Ok(_) if !session.announced => Ok(found),
            Ok(_) if session.origin == Origin::Lookup => {
                self.refuse(&error);
                self.lose(&session, format!("an agent with another certificate answers: {error}"), true)
                    .await?;
                Ok(found)
            }
            Ok(_) => {
                self.refuse(&error);
                Err(error.into())
            }
            Err(trouble) => Err(trouble),
        }
    }

    fn refuse(&self, error: &AgentError) {
        self.shared.metrics.count(Counter::CertificatesRefused, "session");
        tracing::warn!(node = self.handle.key(), "{}", chain(error));
    }

    /// Goes on with the session that there is, if there is one: whether its agent is still the same, and if not, what
    /// became of its work.
    pub(super) async fn take_up(&mut self, found: &Contact) -> Result<(), Trouble> {
        let Some(session) = self.handle.session() else { return Ok(()) };
        if session.broken.is_some() || session.life == found.life {
            return Ok(());
        }
        // Ironic has made a new medium, with a new token: what was before is over.
        if let Some(token) = found.medium_token()
            && !secret::equal(token, &session.token)
            && self.try_token(found, token).await?
        {
            return Ok(());
        }
        // Which one holds again after a trial.
        let Some(session) = self.handle.session() else { return Ok(()) };
        if session.life.boot_id != found.life.boot_id && session.origin == Origin::Lookup {
            // A restart by Ironic made another token, and this is how it is had.
            if let Lookup { node, token: Token::Given(token), heartbeat_timeout } = self.lookup(found).await?
            {
                return self.establish(found, node, token, Origin::Lookup, heartbeat_timeout).await;
            }
        }
        let listed = commands::list(&found.client).await?;
        match judge(&session, &listed, &found.life, self.watched) {
            Verdict::Continues => {
                let life = found.life.clone();
                Ok(self.handle.change(|session| session.life = life).await?)
            }
            Verdict::Fresh => {
                let life = found.life.clone();
                let renew = |session: &mut Session| {
                    if session.mode == Mode::Relay {
                        session.verify_ca = Some(life.certificate.clone());
                    }
                    session.life = life;
                    session.last = None;
                    session.images.clear();
                };
                Ok(self.handle.change(renew).await?)
            }
            Verdict::Lost(why) => {
                // An agent that cannot answer Ironic's next question makes the operation fail. One that can would say
                // that nothing ever ran.
                let mute = session.life.certificate != found.life.certificate || found.token().is_none();
                self.lose(&session, why, mute).await
            }
        }
    }

    /// Notes that an operation is lost; `tell` when a heartbeat makes Ironic see it.
    pub(super) async fn lose(&mut self, session: &Session, why: String, mute: bool) -> Result<(), Trouble> {
        let tell = mute || session.mode == Mode::Proxy;
        tracing::error!(node = self.handle.key(), why, "an operation was lost with its agent");
        self.shared.metrics.count(Counter::OperationsLost, if tell { "heartbeat" } else { "silence" });
        let last = session.last.as_ref();
        let id = last.map(|last| last.id.clone()).filter(|id| !id.is_empty());
        let broken = Broken { id: id.unwrap_or_else(|| Uuid::new_v4().to_string()), why, tell };
        let note = |session: &mut Session| {
            session.broken = Some(broken);
            session.images.clear();
        };
        Ok(self.handle.change(note).await?)
    }
}
