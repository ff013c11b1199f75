//! Power actions that somebody asked for, outside of any flow.

use std::sync::Arc;

use uuid::Uuid;

use super::driver;
use super::engine::Engine;
use super::validate;
use super::verbs::VerbError;
use crate::bmc::{Bmc, PowerState};
use crate::chain::chain;
use crate::node::Node;
use crate::store::{NewHistory, Severity, StoreError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerTarget {
    On,
    Off,
    SoftOff,
    Reboot,
}

impl Engine {
    /// Starts a power action.
    pub async fn power(self: &Arc<Self>, id: Uuid, target: PowerTarget) -> Result<(), VerbError> {
        let node = self.store.transact(|tx| {
            let mut node = tx.node(id)?.ok_or_else(|| VerbError::Internal(format!("node {id} is gone")))?;
            self.unlocked(&node)?;
            if node.provision_state.is_working() {
                return Err(VerbError::Invalid(format!(
                    "Node {id} is in state {}: its power is the conductor's now",
                    node.provision_state
                )));
            }
            validate::bmc(&node).map_err(VerbError::Invalid)?;
            if node.disable_power_off && matches!(target, PowerTarget::Off | PowerTarget::SoftOff) {
                return Err(VerbError::Locked(format!(
                    "Node {id} must not be powered off (disable_power_off)"
                )));
            }
            node.last_error = None;
            node.reservation = Some(self.config.hostname.clone());
            let goal = if matches!(target, PowerTarget::Off | PowerTarget::SoftOff) {
                "power off"
            } else {
                "power on"
            };
            node.target_power_state = Some(goal.into());
            tx.save_node(&mut node)?;
            Ok::<_, VerbError>(node)
        })?;
        let engine = self.clone();
        tokio::spawn(async move {
            let result = driver::caught(act(&node, target)).await;
            let result = result.unwrap_or_else(|panic| {
                Err(format!("internal error of the conductor, power unknown: {panic}"))
            });
            driver::until_stored(id, || engine.power_ended(id, result.clone())).await;
        });
        Ok(())
    }

    fn power_ended(&self, id: Uuid, result: Result<PowerState, String>) -> Result<(), StoreError> {
        let node = self.store.transact(|tx| {
            let Some(mut node) = tx.node(id)? else { return Ok(None) };
            node.reservation = None;
            node.target_power_state = None;
            match result {
                Ok(state) => driver::set_power(&mut node, state),
                Err(reason) => {
                    let entry = NewHistory {
                        severity: Severity::Error,
                        event_type: "power".into(),
                        event: reason.clone(),
                    };
                    tx.add_history(id, entry)?;
                    node.last_error = Some(reason);
                }
            }
            tx.save_node(&mut node)?;
            Ok::<_, StoreError>(Some(node))
        })?;
        if let Some(node) = node {
            self.tell(&node, "state", None, None);
        }
        Ok(())
    }
}

async fn act(node: &Node, target: PowerTarget) -> Result<PowerState, String> {
    let bmc = Bmc::for_node(&node.driver, &node.driver_info).map_err(|error| chain(&error))?;
    let (result, state) = match target {
        PowerTarget::On => (bmc.power_on().await, PowerState::On),
        PowerTarget::Off => (bmc.power_off().await, PowerState::Off),
        PowerTarget::SoftOff => (bmc.soft_off().await, PowerState::Off),
        PowerTarget::Reboot => (bmc.reboot().await, PowerState::On),
    };
    result.map(|()| state).map_err(|error| chain(&error))
}
