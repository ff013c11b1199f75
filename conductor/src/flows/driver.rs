//! Runs a flow: begin a step, carry it out, write down its end; in the end let go of the node.
//!
//! A step's start is in the store before anything is done, its end together with what it changed in one transaction.

use std::sync::Arc;

use serde_json::{Map, Value};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::engine::{BOOT_DOC, Engine, FLOW_DOC, IPA_DOC};
use super::events::unix_now;
use super::login::Login;
use super::plan::{FlowKind, FlowRecord, FlowStep, StepState};
use super::steps::{Effect, Outcome, StepError, Work};
use crate::bmc::PowerState;
use crate::chain::chain;
use crate::node::Node;
use crate::states::{Event, Position, ProvisionState, next};
use crate::store::{NewHistory, Severity, StoreError, Tx, now_iso};

mod guard;
mod release;

pub(super) use guard::{caught, drive, until_stored};
use release::let_go;

async fn follow(engine: &Arc<Engine>, id: Uuid, cancel: &CancellationToken) -> Result<(), StoreError> {
    let login = Login::default();
    loop {
        let Some((node, flow)) = begin_step(engine, id)? else { return Ok(()) };
        let work = Work { engine, node: &node, flow: &flow, login: &login };
        // Read now: a node that is deleted meanwhile takes it along.
        let boot = engine.boot_record(id).unwrap_or_else(|error| {
            // Steps that need it fail by themselves; the others, and letting go, must not fail with them.
            tracing::error!(node = %id, error = chain(&error), "going on without the boot record");
            None
        });
        if flow.abandoned.is_some() {
            return let_go(&work, boot.as_ref()).await;
        }
        let Some(record) = flow.step() else { return finish(engine, &node, &flow) };
        if record.step.waits_for_agent() {
            login.leave();
        }
        let result = tokio::select! {
            result = work.run(&record.step) => result,
            () = cancel.cancelled() => return let_go(&work, boot.as_ref()).await,
        };
        match result {
            Ok(outcome) => end_step(engine, id, outcome)?,
            Err(error) => fail(engine, id, &error)?,
        }
    }
}

/// Marks the current step as begun and shows it on the node.
fn begin_step(engine: &Engine, id: Uuid) -> Result<Option<(Node, FlowRecord)>, StoreError> {
    let begun = engine.store.transact(|tx| {
        let (Some(mut node), Some(mut flow)) = (tx.node(id)?, tx.doc::<FlowRecord>(FLOW_DOC, id)?) else {
            return Ok(None);
        };
        if flow.abandoned.is_some() || flow.step().is_none() {
            return Ok(Some((node, flow)));
        }
        let current = flow.current;
        let record = &mut flow.steps[current];
        record.state = StepState::Running;
        record.started_at = Some(unix_now());
        let waits = record.step.waits_for_agent();
        let shown = shown_step(&record.step);
        advance(&mut node, if waits { Event::Wait } else { Event::Resume });
        // The lock is free in wait states, as in Ironic: clients may read and abort.
        node.reservation = (!waits).then(|| engine.config.hostname.clone());
        match flow.kind {
            FlowKind::Deploy => node.deploy_step = shown,
            FlowKind::Clean | FlowKind::Undeploy => node.clean_step = shown,
            FlowKind::Verify | FlowKind::Inspect => {}
        }
        tx.put_doc(FLOW_DOC, id, &flow)?;
        tx.save_node(&mut node)?;
        Ok::<_, StoreError>(Some((node, flow)))
    })?;
    if let Some((node, flow)) = &begun
        && let Some(record) = flow.step().filter(|_| flow.abandoned.is_none())
    {
        engine.tell(node, "step-started", Some(record.step.name()), None);
    }
    Ok(begun)
}

fn end_step(engine: &Engine, id: Uuid, outcome: Outcome) -> Result<(), StoreError> {
    let Outcome { effect, message } = outcome;
    let told = engine.store.transact(|tx| {
        let (Some(mut node), Some(mut flow)) = (tx.node(id)?, tx.doc::<FlowRecord>(FLOW_DOC, id)?) else {
            return Ok(None);
        };
        // An abort that came in between has given up this flow: its end is written by `let_go`.
        if flow.abandoned.is_some() {
            return Ok(None);
        }
        apply(tx, &mut node, &mut flow, effect)?;
        let current = flow.current;
        let record = &mut flow.steps[current];
        record.state = StepState::Done;
        record.finished_at = Some(unix_now());
        let seconds = unix_now() - record.started_at.unwrap_or_else(unix_now);
        let name = record.step.name();
        let line = format!("{name}: {message} ({seconds:.1} s)");
        tx.add_history(id, NewHistory { severity: Severity::Info, event_type: name.clone(), event: line })?;
        flow.current += 1;
        tx.put_doc(FLOW_DOC, id, &flow)?;
        tx.save_node(&mut node)?;
        Ok::<_, StoreError>(Some((node, name, seconds)))
    })?;
    if let Some((node, name, seconds)) = told {
        engine.tell(&node, "step-finished", Some(name), Some(format!("{message} ({seconds:.1} s)")));
    }
    Ok(())
}

/// Writes what a step found or changed.
fn apply(tx: &Tx<'_>, node: &mut Node, flow: &mut FlowRecord, effect: Effect) -> Result<(), StoreError> {
    match effect {
        Effect::Nothing => {}
        Effect::Power(state) => set_power(node, state),
        Effect::Identity(identity) => {
            if let Some(state) = identity.power {
                set_power(node, state);
            }
            let facts = [
                ("system_uuid", identity.uuid),
                ("system_serial", identity.serial),
                ("system_model", identity.model),
            ];
            for (key, value) in facts {
                if let Some(value) = value {
                    node.driver_internal_info.insert(key.into(), value.into());
                }
            }
        }
        Effect::Medium(boot) => tx.put_doc(BOOT_DOC, node.uuid, &*boot)?,
        Effect::MediumGone => apply_medium_gone(tx, node)?,
        Effect::Agent(seen) => {
            let facts = [
                ("agent_url", Some(seen.url)),
                ("agent_dialect", Some(seen.dialect.into())),
                ("agent_version", Some(seen.version)),
                ("agent_boot_id", Some(seen.boot_id)),
                ("agent_limits", seen.limits.map(String::from)),
            ];
            for (key, value) in facts {
                match value {
                    Some(value) => node.driver_internal_info.insert(key.into(), value.into()),
                    None => node.driver_internal_info.remove(key),
                };
            }
        }
        Effect::Inspected(found) => found.store(tx, node)?,
        Effect::CleanSteps { offered, version } => {
            flow.clean_version = version;
            flow.add_clean_steps(offered);
        }
        Effect::Erased(statements) => {
            tx.add_erasures(node.uuid, &statements)?;
        }
        Effect::InstanceForgotten => {
            node.instance_info = Map::new();
            node.instance_uuid = None;
            node.instance_name = None;
            advance(node, Event::Clean);
        }
    }
    Ok(())
}

/// The flow has no step left.
fn finish(engine: &Engine, node: &Node, flow: &FlowRecord) -> Result<(), StoreError> {
    let kind = flow.kind;
    let node = engine.store.transact(|tx| {
        let Some(mut node) = tx.node(node.uuid)? else { return Ok(None) };
        let finished = format!("{} finished", words(kind, node.target_provision_state));
        advance(&mut node, Event::Done);
        node.reservation = None;
        node.clean_step = Map::new();
        node.deploy_step = Map::new();
        if kind == FlowKind::Inspect {
            node.inspection_started_at = None;
            node.inspection_finished_at = Some(now_iso());
        }
        tx.delete_doc(FLOW_DOC, node.uuid)?;
        tx.add_history(
            node.uuid,
            NewHistory {
                severity: Severity::Info,
                event_type: format!("{}_end", event_type(kind)),
                event: finished,
            },
        )?;
        tx.save_node(&mut node)?;
        Ok::<_, StoreError>(Some(node))
    })?;
    if let Some(node) = node {
        engine.tell(&node, "state", None, None);
    }
    Ok(())
}

/// A step failed: the node shows it at once, and the machine is let go.
fn fail(engine: &Engine, id: Uuid, error: &StepError) -> Result<(), StoreError> {
    let reason = chain(error);
    let node = engine.store.transact(|tx| {
        let (Some(mut node), Some(mut flow)) = (tx.node(id)?, tx.doc::<FlowRecord>(FLOW_DOC, id)?) else {
            return Ok(None);
        };
        if flow.abandoned.is_some() {
            return Ok(None);
        }
        let current = flow.current;
        let record = &mut flow.steps[current];
        record.state = StepState::Failed;
        record.finished_at = Some(unix_now());
        let name = record.step.name();
        let cleaning = matches!(record.step, FlowStep::CleanStep { .. });
        if let StepError::Operation { statements, .. } = error {
            tx.add_erasures(id, statements)?;
        }
        abandon(tx, engine, &mut node, &mut flow, Event::Fail, format!("{name}: {reason}"))?;
        if cleaning {
            node.maintenance = true;
            node.fault = Some("clean failure".into());
            node.maintenance_reason.clone_from(&node.last_error);
        }
        tx.save_node(&mut node)?;
        Ok::<_, StoreError>(Some(node))
    })?;
    if let Some(node) = node {
        engine.tell(&node, "error", None, node.last_error.clone());
    }
    Ok(())
}

/// Gives a flow up: failed state and reason now, the record stays until the machine is let go.
pub(super) fn abandon(
    tx: &Tx<'_>,
    engine: &Engine,
    node: &mut Node,
    flow: &mut FlowRecord,
    event: Event,
    reason: String,
) -> Result<(), StoreError> {
    let entry = NewHistory {
        severity: Severity::Error,
        event_type: event_type(flow.kind).into(),
        event: reason.clone(),
    };
    tx.add_history(node.uuid, entry)?;
    advance(node, event);
    node.last_error = Some(reason.clone());
    node.inspection_started_at = None;
    node.reservation = Some(engine.config.hostname.clone());
    flow.abandoned = Some(reason);
    tx.put_doc(FLOW_DOC, node.uuid, flow)
}

fn apply_medium_gone(tx: &Tx<'_>, node: &mut Node) -> Result<(), StoreError> {
    tx.delete_doc(BOOT_DOC, node.uuid)?;
    tx.delete_doc(IPA_DOC, node.uuid)?;
    node.driver_internal_info.remove("agent_url");
    Ok(())
}

/// Moves the node where the table says; a `Wait` or `Resume` that does not apply leaves it where it is.
pub(super) fn advance(node: &mut Node, event: Event) -> bool {
    let at = Position { state: node.provision_state, target: node.target_provision_state };
    let Some(to) = next(at, event) else { return false };
    node.provision_state = to.state;
    node.target_provision_state = to.target;
    true
}

pub(super) fn set_power(node: &mut Node, state: PowerState) {
    node.power_state = Some(match state {
        PowerState::On => "power on".into(),
        PowerState::Off => "power off".into(),
    });
    node.target_power_state = None;
}

/// Step shown on the node while it runs: Ironic's `clean_step` and `deploy_step`.
fn shown_step(step: &FlowStep) -> Map<String, Value> {
    if let FlowStep::CleanStep { step } = step {
        return step.clone();
    }
    let mut shown = Map::new();
    shown.insert("interface".into(), "deploy".into());
    shown.insert("step".into(), step.name().into());
    shown
}

/// Ironic's event types of history (API contract §5.3).
pub(super) fn event_type(kind: FlowKind) -> &'static str {
    match kind {
        FlowKind::Verify => "verify",
        FlowKind::Inspect => "introspection",
        FlowKind::Clean => "cleaning",
        FlowKind::Deploy => "deployment",
        FlowKind::Undeploy => "unprovision",
    }
}

fn words(kind: FlowKind, target: Option<ProvisionState>) -> &'static str {
    match (kind, target) {
        (FlowKind::Verify, _) => "verification",
        (FlowKind::Inspect, _) => "inspection",
        (FlowKind::Clean, Some(ProvisionState::Manageable)) => "manual cleaning",
        (FlowKind::Clean, _) => "automated cleaning",
        (FlowKind::Deploy, _) => "deployment",
        (FlowKind::Undeploy, _) => "undeployment",
    }
}
