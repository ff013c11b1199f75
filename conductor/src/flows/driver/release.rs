//! Letting go of a machine whose flow was given up: what its agent proved until then is kept, then its power goes.

use std::time::Duration;

use serde_json::Map;
use tokio::time::{sleep, timeout};

use super::{apply_medium_gone, event_type, set_power};
use crate::agents::{AgentClient, AgentError, BootRecord};
use crate::bmc::{BootTarget, PowerState};
use crate::chain::chain;
use crate::erasure::certified;
use crate::flows::engine::FLOW_DOC;
use crate::flows::login::Login;
use crate::flows::plan::{FlowKind, FlowStep};
use crate::flows::steps::Work;
use crate::node::Node;
use crate::pki::Signed;
use crate::store::{NewHistory, Severity, StoreError};

/// How long the machine stays on for its agent to stop a clean step and to say what became of the devices. The agent
/// itself waits 10 s for drives that hang.
const LAST_WORDS: Duration = Duration::from_secs(20);
/// Pause between two questions whether it has stopped.
const POLL: Duration = Duration::from_millis(200);

/// Stops what the agent may still do, powers the machine off and takes the medium out; then the node is free.
/// `boot` is the one of the step that was given up.
pub(super) async fn let_go(work: &Work<'_>, boot: Option<&BootRecord>) -> Result<(), StoreError> {
    let Work { engine, node, flow, login } = *work;
    let (mut power, mut kept, mut statements, mut new) = (None, None, Vec::new(), 0);
    if flow.kind != FlowKind::Verify {
        statements = last_words(work, boot).await;
        // Before the power goes, and with it what the agent knows. A store that refuses is no reason to leave the
        // machine on: it is asked again below.
        match engine.store.transact(|tx| tx.add_erasures(node.uuid, &statements)) {
            Ok(added) => new = added,
            Err(error) => {
                tracing::error!(node = %node.uuid, error = chain(&error), "what was erased is not stored yet")
            }
        }
        match release_machine(node, login).await {
            Ok(()) => power = Some(PowerState::Off),
            Err(error) => {
                tracing::warn!(node = %node.uuid, error, "machine could not be let go");
                let words = format!("machine could not be let go, it may still run: {error}");
                engine.tell(node, "message", None, Some(words.clone()));
                kept = Some(words);
            }
        }
        engine.withdraw_medium(node.uuid);
    }
    let node = engine.store.transact(|tx| {
        new += tx.add_erasures(node.uuid, &statements)?;
        let Some(mut node) = tx.node(node.uuid)? else { return Ok(None) };
        if let Some(state) = power {
            set_power(&mut node, state);
        }
        apply_medium_gone(tx, &mut node)?;
        if new > 0 {
            let event_type = flow.step().map_or_else(String::new, |record| record.step.name());
            let certified = certified(&statements);
            let not = statements.len() - certified;
            let event = format!(
                "{event_type}: devices erased before it was stopped, and certified: {certified}; not erased: {not}"
            );
            tx.add_history(node.uuid, NewHistory { severity: Severity::Info, event_type, event })?;
        }
        if let Some(event) = kept {
            let event_type = event_type(flow.kind).into();
            tx.add_history(node.uuid, NewHistory { severity: Severity::Error, event_type, event })?;
        }
        node.reservation = None;
        node.clean_step = Map::new();
        node.deploy_step = Map::new();
        tx.delete_doc(FLOW_DOC, node.uuid)?;
        tx.save_node(&mut node)?;
        Ok::<_, StoreError>(Some(node))
    })?;
    if let Some(node) = node {
        engine.tell(&node, "state", None, None);
    }
    Ok(())
}

/// Tells the agent to stop. A clean step is waited for; returned is what can be stated of its devices.
async fn last_words(work: &Work<'_>, boot: Option<&BootRecord>) -> Vec<Signed> {
    let node = work.node.uuid;
    let Some(client) = boot.and_then(|boot| AgentClient::of_boot(&work.engine.pki, boot).ok()) else {
        return Vec::new();
    };
    let step = match work.flow.step().map(|record| &record.step) {
        Some(FlowStep::CleanStep { step }) => Some(step),
        _ => None,
    };
    let id = work.flow.operation_id();
    let stopping = async {
        loop {
            // Whoever asks again hears how far it is.
            let operation = client.cancel(&id).await?;
            if step.is_none() || operation.state.is_final() {
                return Ok::<_, AgentError>(operation);
            }
            sleep(POLL).await;
        }
    };
    let operation = match timeout(LAST_WORDS, stopping).await {
        Ok(Ok(operation)) => operation,
        Ok(Err(error)) => {
            tracing::debug!(%node, error = chain(&error), "no operation to cancel on the agent");
            return Vec::new();
        }
        Err(_) => {
            tracing::warn!(%node, operation = id, "the agent did not stop in time");
            return Vec::new();
        }
    };
    let statements = step.map_or(Ok(Vec::new()), |step| work.state_late(step, &operation));
    statements.unwrap_or_else(|error| {
        tracing::error!(%node, error = chain(&error), "what the agent proved is not stated");
        Vec::new()
    })
}

async fn release_machine(node: &Node, login: &Login) -> Result<(), String> {
    let bmc = login.bmc(node).map_err(|error| chain(&error))?;
    bmc.power_off().await.map_err(|error| chain(&error))?;
    bmc.eject_media().await.map_err(|error| chain(&error))?;
    bmc.set_boot(BootTarget::Hdd, false).await.map_err(|error| chain(&error))
}
