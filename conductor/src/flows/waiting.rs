//! Waiting for a machine that was switched on until its agent answers.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::events::unix_now;
use super::steps::{AgentSeen, Effect, Outcome, StepError, Work, done};
use crate::agents::{AgentError, ExpectedIdentity, check_identity};
use crate::chain::chain;

/// How long a wrong machine may answer at the known IP before the step gives up: long enough for a stale entry in a
/// neighbour cache to go away.
pub(super) const WRONG_MACHINE_PATIENCE: Duration = Duration::from_secs(10);

/// Pause between two calls to an address where nobody answers yet.
pub(super) const POLL: Duration = Duration::from_millis(400);

/// What a conductor that was away while the machine started still allows: time to be reachable again, and for a medium
/// that it serves itself to be read on.
const AFTER_RESTART: Duration = Duration::from_secs(30);

/// Counted from power-on, however often the conductor was started since.
pub(super) struct Patience {
    limit: Duration,
    /// Since power-on, when this began.
    spent: Duration,
    started: Instant,
}

impl Patience {
    /// Times are Unix times; one from before the power-on is a clock that was set back.
    pub(super) fn new(timeout: Duration, powered_on: Option<f64>, now: f64) -> Self {
        let spent = powered_on.map_or(0.0, |powered_on| now - powered_on);
        let spent = Duration::try_from_secs_f64(spent).unwrap_or_default();
        let limit = timeout.max(spent + AFTER_RESTART.min(timeout / 4));
        Self { limit, spent, started: Instant::now() }
    }

    pub(super) fn waited(&self) -> Duration {
        self.spent + self.started.elapsed()
    }

    pub(super) fn is_over(&self) -> bool {
        self.waited() > self.limit
    }
}

impl Work<'_> {
    pub(super) async fn wait_for_agent(&self) -> Result<Outcome, StepError> {
        let boot = self.boot()?;
        let client = self.client(&boot)?;
        let expected = self.expected()?;
        let patience = Patience::new(self.engine.config.agent_timeout, self.flow.powered_on_at(), unix_now());
        let mut wrong_since: Option<Instant> = None;
        loop {
            let last = match client.status().await {
                Ok(status) => {
                    check_identity(&expected, &status).map_err(StepError::WrongMachine)?;
                    if let Err(error) = client.set_clock().await {
                        // The link may still flap at this moment; only what waiting cannot mend ends the step.
                        if !error.is_transient() || patience.is_over() {
                            return Err(error.into());
                        }
                        tokio::time::sleep(POLL).await;
                        continue;
                    }
                    let message = format!(
                        "agent {} answered at {}, {:.1} s after kernel start ({:.2} s of them the agent's)",
                        status.version,
                        boot.address,
                        status.first_answer_uptime.unwrap_or_default(),
                        status.agent_startup_seconds,
                    );
                    let seen = AgentSeen {
                        url: format!("https://{}", boot.address),
                        dialect: "tacit",
                        version: status.version,
                        boot_id: status.boot_id,
                        limits: None,
                    };
                    return done(Effect::Agent(Box::new(seen)), message);
                }
                Err(error @ AgentError::WrongMachine { .. }) => {
                    let since = *wrong_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > WRONG_MACHINE_PATIENCE {
                        return Err(StepError::WrongMachine(error));
                    }
                    chain(&error)
                }
                Err(error) => {
                    wrong_since = None;
                    chain(&error)
                }
            };
            if patience.is_over() {
                return Err(StepError::NoAgent {
                    address: boot.address,
                    waited: patience.waited(),
                    medium: self.engine.medium_words(&boot.media_token),
                    last,
                });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    fn expected(&self) -> Result<ExpectedIdentity, StepError> {
        let ports = self.engine.store.transact(|tx| tx.ports_of(self.node.uuid))?;
        Ok(ExpectedIdentity {
            node_uuid: self.node.uuid,
            system_uuid: self
                .node
                .driver_internal_info
                .get("system_uuid")
                .and_then(Value::as_str)
                .map(str::to_owned),
            macs: ports.into_iter().map(|port| port.address).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(600);

    fn left(powered_on: Option<f64>, now: f64) -> u64 {
        let patience = Patience::new(TIMEOUT, powered_on, now);
        (patience.limit - patience.spent).as_secs()
    }

    #[test]
    fn a_restart_of_the_conductor_gives_no_new_time() {
        assert_eq!(left(Some(1000.0), 1000.0), 600);
        assert_eq!(left(Some(1000.0), 1400.0), 200);
        assert_eq!(left(Some(1000.0), 1599.0), 30, "an agent that is up has no chance to answer");
        assert_eq!(left(Some(1000.0), 90_000.0), 30);
        assert_eq!(left(Some(1000.0), 900.0), 600, "clock set back");
        assert_eq!(left(None, 1000.0), 600);
        let patience = Patience::new(TIMEOUT, Some(1000.0), 1400.0);
        assert!(patience.waited() >= Duration::from_secs(400) && !patience.is_over());
        assert!(Patience { spent: TIMEOUT * 2, ..patience }.is_over());
    }
}
