//! Power: asking for a state, and waiting until the BMC reports it.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::client::Client;
use super::errors::{BmcError, BmcErrorKind};
use super::resource::Fields;

/// A settled power state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerState {
    On,
    Off,
}

impl PowerState {
    /// The state of a system resource; `None` while it changes (`PoweringOn`, `PoweringOff`) and for anything else.
    pub(super) fn settled(system: &Value) -> Option<Self> {
        match system.text("PowerState") {
            Some("On") => Some(Self::On),
            Some("Off") => Some(Self::Off),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::On => "On",
            Self::Off => "Off",
        }
    }

    /// What BMCs say in an error when the state is this one already.
    fn already(self) -> [&'static str; 2] {
        match self {
            Self::On => ["host is powered on", "already powered on"],
            Self::Off => ["host is powered off", "already powered off"],
        }
    }
}

/// How a request for a reset type ended.
enum Outcome {
    /// Accepted; the state has still to follow.
    Accepted,
    /// The state is the wanted one, whatever the answer was.
    Reached,
    /// This reset type is not to be had here.
    Refused(BmcError),
}

impl Client {
    pub(super) async fn power_state(&self) -> Result<Option<PowerState>, BmcError> {
        Ok(PowerState::settled(&self.system().await?.body))
    }

    pub(super) async fn power_on(&self) -> Result<(), BmcError> {
        self.change(PowerState::On, &["On", "ForceOn", "PushPowerButton"], self.timing().hard_power).await
    }

    pub(super) async fn power_off(&self) -> Result<(), BmcError> {
        self.change(PowerState::Off, &["ForceOff"], self.timing().hard_power).await
    }

    pub(super) async fn soft_off(&self) -> Result<(), BmcError> {
        self.change(PowerState::Off, &["GracefulShutdown"], self.timing().soft_power).await
    }

    pub(super) async fn reboot(&self) -> Result<(), BmcError> {
        self.power_off().await?;
        self.power_on().await
    }

    pub(super) async fn restart(&self) -> Result<(), BmcError> {
        let system = self.system().await?.body;
        if PowerState::settled(&system) == Some(PowerState::Off) {
            return self.power_on().await;
        }
        let mut refusal = None;
        for reset in self.offered(&system, &["ForceRestart", "PowerCycle", "GracefulRestart"]).await? {
            match self.request_reset(&system, reset, None).await? {
                Outcome::Refused(error) => refusal = Some(error),
                Outcome::Accepted | Outcome::Reached => {
                    // The state stays On through a warm restart, so an immediate look would prove nothing.
                    sleep(self.timing().restart_settle).await;
                    return self.wait_for(PowerState::On, self.timing().hard_power).await;
                }
            }
        }
        Err(refusal.unwrap_or_else(|| self.unsupported("no reset type that restarts the machine")))
    }

    /// Brings the machine to `wanted` by the first of `resets` that the BMC takes.
    async fn change(
        &self,
        wanted: PowerState,
        resets: &[&'static str],
        limit: Duration,
    ) -> Result<(), BmcError> {
        let system = self.settle().await?;
        if PowerState::settled(&system) == Some(wanted) {
            return Ok(());
        }
        let mut refusal = None;
        for reset in self.offered(&system, resets).await? {
            // The button toggles: pressed in an unknown state it may do the opposite.
            if reset == "PushPowerButton" && self.power_state().await? != Some(PowerState::Off) {
                continue;
            }
            match self.request_reset(&system, reset, Some(wanted)).await? {
                Outcome::Reached => return Ok(()),
                Outcome::Accepted => return self.wait_for(wanted, limit).await,
                Outcome::Refused(error) => {
                    debug!(%error, reset, "reset type refused");
                    refusal = Some(error);
                }
            }
        }
        let none = || self.unsupported(format!("none of the reset types {}", resets.join(", ")));
        Err(refusal.unwrap_or_else(none))
    }

    /// The system once its power no longer changes, or as it is after the longest wait.
    async fn settle(&self) -> Result<Value, BmcError> {
        let start = Instant::now();
        loop {
            let system = self.system().await?.body;
            let moving = matches!(system.text("PowerState"), Some("PoweringOn" | "PoweringOff"));
            if !moving || start.elapsed() >= self.timing().hard_power {
                return Ok(system);
            }
            sleep(self.timing().power_poll).await;
        }
    }

    /// Those of `wanted` that the BMC offers, in the given order; all of them when it does not say.
    async fn offered(&self, system: &Value, wanted: &[&'static str]) -> Result<Vec<&'static str>, BmcError> {
        let action = &system["Actions"]["#ComputerSystem.Reset"];
        let mut allowed: Vec<String> =
            action.texts("ResetType@Redfish.AllowableValues").into_iter().map(str::to_owned).collect();
        if allowed.is_empty()
            && let Some(uri) = action.text("@Redfish.ActionInfo")
            && let Some(info) = self.find(uri).await?
        {
            let parameters = info.body.get("Parameters").and_then(Value::as_array);
            allowed = parameters
                .into_iter()
                .flatten()
                .filter(|parameter| parameter.text("Name") == Some("ResetType"))
                .flat_map(|parameter| parameter.texts("AllowableValues"))
                .map(str::to_owned)
                .collect();
        }
        let offered = |reset: &&&str| allowed.is_empty() || allowed.iter().any(|a| a == *reset.to_owned());
        Ok(wanted.iter().filter(offered).copied().collect())
    }

    /// Asks for one reset type. An error of the BMC is weighed against the state that is then seen, because an error
    /// answer may have changed it and a refusal may mean "already so".
    async fn request_reset(
        &self,
        system: &Value,
        reset: &'static str,
        wanted: Option<PowerState>,
    ) -> Result<Outcome, BmcError> {
        let target = system.action_target("#ComputerSystem.Reset").ok_or_else(|| {
            self.unsupported("the system has no Reset action (does the account have the right to it?)")
        })?;
        let body = json!({"ResetType": reset});
        let (mut conflicts, mut failures) = (0, 0);
        loop {
            let error = match self.post(target, Some(&body), self.timing().request).await {
                Ok(_) => {
                    info!(bmc = self.inner.address, reset, "power change accepted");
                    return Ok(Outcome::Accepted);
                }
                Err(error) => error,
            };
            if let (Some(wanted), true) = (wanted, may_have_worked(&error)) {
                let seen = self.power_state().await?;
                let said = |text| error.body().is_some_and(|body| body.mentions(text));
                if seen == Some(wanted) || (seen.is_none() && wanted.already().into_iter().any(said)) {
                    return Ok(Outcome::Reached);
                }
            }
            let policy = if error.status() == Some(409) && error.says("ActionParameterValueConflict") {
                conflicts += 1;
                (conflicts, self.timing().power_conflict)
            } else if wanted.is_some() && reset != "PushPowerButton" && is_passing(&error) {
                failures += 1;
                (failures, self.timing().writes)
            } else {
                return match error.status() {
                    Some(400 | 404 | 405 | 409 | 422 | 501) => Ok(Outcome::Refused(error)),
                    _ => Err(error),
                };
            };
            if policy.0 >= policy.1.attempts {
                return Err(error);
            }
            debug!(%error, reset, "asking again");
            sleep(policy.1.delay).await;
        }
    }

    async fn wait_for(&self, wanted: PowerState, limit: Duration) -> Result<(), BmcError> {
        let start = Instant::now();
        loop {
            let system = self.system().await?.body;
            if PowerState::settled(&system) == Some(wanted) {
                return Ok(());
            }
            let waited = start.elapsed();
            if waited >= limit {
                let kind = BmcErrorKind::Unmoved {
                    wanted: format!("power {}", wanted.name()),
                    seen: format!("power {}", system.text("PowerState").unwrap_or("unknown")),
                    waited,
                };
                return Err(self.error("wait for the power state", kind));
            }
            sleep(self.timing().power_poll).await;
        }
    }
}

/// Whether a look at the state is due before the error counts.
fn may_have_worked(error: &BmcError) -> bool {
    match error.kind() {
        BmcErrorKind::Unreachable { connected, .. } => *connected,
        BmcErrorKind::Refused { status, .. } => matches!(status, 400 | 409 | 500..),
        _ => false,
    }
}

/// Whether the same request may be made again: the BMC failed rather than refused.
fn is_passing(error: &BmcError) -> bool {
    match error.kind() {
        BmcErrorKind::Unreachable { connected, .. } => *connected,
        BmcErrorKind::Refused { status, .. } => matches!(status, 500 | 502..=599),
        _ => false,
    }
}
