//! While Ironic leads the agent: heartbeats, on time and at once when something ended.
//!
//! Ironic does nothing between two heartbeats, so they set the pace of the whole operation. One that meets a locked
//! node is dropped without a word (IPA contract §3.6, obstacle 17): each that matters is repeated until the agent
//! hears from Ironic.

use std::time::Duration;

use tokio::time::Instant;

use crate::agents::Backoff;

use super::commands;
use super::config::Mode;
use super::contact::{Contact, contact};
use super::handle::Phase;
use super::ironic::{Beat, IronicError, Lookup, Token};
use super::judge::{Listed, note, works};
use super::leader::Leader;
use super::lending;
use super::metrics::Counter;
use super::secret;
use super::session::{Known, Origin, Session};
use super::shared::Trouble;

/// Between heartbeats that Ironic may have dropped.
const REPEAT: Duration = Duration::from_secs(5);
/// How often a heartbeat that matters is repeated in this way: for a minute.
const REPEATS: u32 = 12;
/// Pauses after Ironic refused a heartbeat, or did not answer.
const REFUSED: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// Part of Ironic's heartbeat timeout between two heartbeats that nothing calls for, as IPA has it on average.
const PART: f64 = 0.45;
/// Between two looks at a lost operation.
const LOST_PAUSE: Duration = Duration::from_secs(15);

/// When the next heartbeat is due.
struct Pace {
    due: Instant,
    /// Heartbeats left that are repeated quickly.
    urgent: u32,
    interval: Duration,
    backoff: Backoff,
}

impl Pace {
    fn new(session: &Session) -> Self {
        let timeout = Duration::from_secs(session.heartbeat_timeout_seconds);
        let backoff = Backoff::new(REFUSED.0, REFUSED.1);
        Self { due: Instant::now(), urgent: REPEATS, interval: timeout.mul_f64(PART), backoff }
    }

    fn now(&mut self) {
        self.due = Instant::now();
        self.urgent = REPEATS;
    }

    fn accepted(&mut self) {
        self.backoff.reset();
        let pause = if self.urgent > 0 { REPEAT.min(self.interval) } else { self.interval };
        self.urgent = self.urgent.saturating_sub(1);
        self.due = Instant::now() + Backoff::new(pause, pause).delay();
    }

    fn refused(&mut self) {
        self.due = Instant::now() + self.backoff.delay();
    }
}

/// What a heartbeat led to.
pub(super) enum Beaten {
    Accepted,
    /// To be repeated.
    Refused,
    /// Ironic has taken the token back: the session is over.
    Over,
}

impl Leader {
    /// Follows the agent until it does not answer, is another one, or Ironic takes the token back.
    pub(super) async fn drive(&mut self, found: &Contact) -> Result<(), Trouble> {
        let Some(session) = self.handle.session() else { return Ok(()) };
        self.hand_over_token(found, &session).await?;
        self.introduce(found).await?;
        self.handle.set_phase(Phase::Driving);
        // Nobody is let through by a token that Ironic does not know.
        if session.accepted {
            self.handle.set_contact(Some(found.client.clone()));
        }
        lending::resume(&self.shared, &self.handle, &found.client);
        let mut pace = Pace::new(&session);
        drop(session);
        let mut heard = false;
        loop {
            let status = found.client.status().await?;
            if !found.life.is_of(&status.boot_id, status.started_at) {
                return Err(Trouble::Other("the agent restarted".to_owned()));
            }
            let listed = commands::list(&found.client).await?;
            match self.news(&listed).await? {
                // What only tells something is awaited by Ironic itself.
                Some(known) if known.finished && works(&known.name) => pace.now(),
                // Nothing is to be told until it ends.
                Some(known) if !known.finished => pace.urgent = 0,
                _ => {}
            }
            lending::resume(&self.shared, &self.handle, &found.client);
            if Instant::now() >= pace.due {
                if self.waits_for_inspection() {
                    self.inspect(found).await?;
                }
                match self.beat().await? {
                    Beaten::Accepted => {
                        heard = true;
                        pace.accepted();
                        self.handle.set_contact(Some(found.client.clone()));
                    }
                    Beaten::Refused => pace.refused(),
                    // A token that Ironic never took is not tried again at once.
                    Beaten::Over => return if heard { Ok(()) } else { Err(Trouble::NotNow) },
                }
            }
            let wait = pace.due.saturating_duration_since(Instant::now());
            tokio::select! {
                news = commands::news(&found.client, &status.boot_id, status.last_event, wait) => news?,
                () = self.handle.bell.notified() => {}
            }
        }
    }

    /// In relay mode the agent must know the token before Ironic calls it.
    async fn hand_over_token(&mut self, found: &Contact, session: &Session) -> Result<(), Trouble> {
        if session.mode != Mode::Relay {
            return Ok(());
        }
        if found.ipa.is_none() {
            let text = "the agent is not in Ironic's ramdisk, and takes no token: it can only be reached by mode = \"proxy\"";
            return Err(Trouble::Other(text.to_owned()));
        }
        if found.token().is_none() {
            found.client.give_token(&session.token).await?;
        } else if found.token().is_some_and(|token| !secret::equal(token, &session.token)) {
            let text = "the agent has another token than Ironic; it must boot anew";
            return Err(Trouble::Other(text.to_owned()));
        }
        Ok(())
    }

    /// Notes what the agent's list tells of the newest command that the bridge does not know yet.
    async fn news(&self, listed: &[Listed]) -> Result<Option<Known>, Trouble> {
        let mut news = None;
        let take_in = |session: &mut Session| {
            let unheard = session.last.as_ref().is_some_and(|last| last.id.is_empty());
            if unheard && self.handle.passes_on() {
                // On its way to the agent now: the list may or may not hold it.
                return;
            }
            news = note(session.last.as_ref(), listed);
            if news.is_some() || unheard {
                // The agent lives, and what was passed on never arrived, or is the newest that it knows.
                session.last.clone_from(&news);
            }
            if session.last.as_ref().is_none_or(|last| last.finished) {
                session.images.clear();
            }
        };
        self.handle.change(take_in).await?;
        Ok(news)
    }

    /// Tells Ironic that the agent is there, and keeps what came of it.
    pub(super) async fn beat(&mut self) -> Result<Beaten, Trouble> {
        self.handle.change(|session| session.announced = true).await?;
        let Some(session) = self.handle.session() else { return Ok(Beaten::Over) };
        let beat = Beat {
            callback_url: &session.callback_url,
            token: &session.token,
            verify_ca: session.verify_ca.as_deref(),
        };
        let answer = self.shared.ironic.heartbeat(session.node, &beat).await;
        let result = answer.as_ref().map_or_else(IronicError::kind, |()| "ok");
        self.shared.metrics.count(Counter::Heartbeats, result);
        match answer {
            Ok(()) => {
                let report = |session: &mut Session| {
                    (session.accepted, session.former) = (true, None);
                    if let Some(Known { finished: true, reported, .. }) = &mut session.last {
                        *reported = true;
                    }
                };
                self.handle.change(report).await?;
                Ok(Beaten::Accepted)
            }
            Err(IronicError::Refused { status: 400, fault }) if fault.contains("agent token") => {
                self.say(match session.former {
                    Some(_) => "Ironic does not know the token that the agent shows",
                    None => "Ironic has taken the token back: what was under way is over",
                });
                self.handle.put(session.former.map(|former| *former)).await?;
                Ok(Beaten::Over)
            }
            Err(error) => {
                // As long as it takes: what Ironic asked for goes on in the agent.
                self.tell(&error.into());
                Ok(Beaten::Refused)
            }
        }
    }

    /// An operation was lost: lets Ironic see it, until it takes the token back.
    pub(super) async fn fail(&mut self) -> Result<(), Trouble> {
        if self.interest.borrow().is_idle() {
            // Ironic would not look, but believe that there is an agent, and keep the node on the fast track.
            self.rest().await;
        }
        let Some(session) = self.handle.session() else { return Ok(()) };
        self.handle.set_phase(Phase::Failing);
        self.handle.set_lending(None);
        let tell = session.broken.as_ref().is_some_and(|broken| broken.tell);
        if session.mode == Mode::Proxy {
            // Ironic collects the logs of what failed, if there is somebody to give them.
            let found = contact(&self.shared, &self.handle.node, None).await;
            self.handle.set_contact(found.ok().map(|found| found.client));
        }
        let mut pace = Pace::new(&session);
        loop {
            let idle = self.interest.borrow().is_idle();
            if idle {
                pace.due = Instant::now() + LOST_PAUSE;
            } else if tell {
                match self.beat().await? {
                    Beaten::Accepted => pace.accepted(),
                    Beaten::Refused => pace.refused(),
                    Beaten::Over => return Ok(()),
                }
            } else {
                self.say("an operation was lost and Ironic cannot be told; it will see when it has waited long enough");
                if self.is_over(&session).await? {
                    return Ok(());
                }
                pace.due = Instant::now() + Backoff::new(LOST_PAUSE, LOST_PAUSE).delay();
            }
            tokio::select! {
                () = tokio::time::sleep_until(pace.due) => {}
                Ok(()) = self.interest.changed() => {}
            }
            if idle && self.interest.borrow().is_idle() {
                return Ok(());
            }
        }
    }

    /// Whether Ironic has begun anew with a node that it could not be told about.
    async fn is_over(&mut self, session: &Session) -> Result<bool, Trouble> {
        let found = contact(&self.shared, &self.handle.node, None).await?;
        if let Some(token) = found.medium_token()
            && !secret::equal(token, &session.token)
            && self.try_token(&found, token).await?
        {
            return Ok(true);
        }
        match self.lookup(&found).await {
            Ok(Lookup { node, token: Token::Given(token), heartbeat_timeout }) => {
                self.establish(&found, node, token, Origin::Lookup, heartbeat_timeout).await?;
                Ok(true)
            }
            Ok(_) | Err(Trouble::NotNow | Trouble::UnknownMachine(_)) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }
}
