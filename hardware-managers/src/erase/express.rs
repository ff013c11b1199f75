//! The step `erase_devices_express`: the quick commands of NVMe drives, and a wipe of metadata for all others
//! (IPA contract §5.2).

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tacit_model::Proof;

use super::policy::{Choice, Policy};
use super::source::{DriveSource, MachineDrives};
use super::step::{carry_out, probe, result, wipe_metadata};
use crate::machine::Machine;
use crate::managers::{StepContext, StepError};

pub(super) fn run(machine: &Machine, context: &StepContext<'_>, policy: &Policy) -> Result<Value, StepError> {
    let source: Arc<dyn DriveSource> = Arc::new(MachineDrives::new(machine));
    let policy = Policy { choice: Choice::Express, ..policy.clone() };
    let (own, mut others) = probe(&source, machine.disks(), context, &policy)?.split_erasable();
    if context.dry_run()? {
        let mut plan = json!(own.plans());
        if let (Some(plan), Some(wiped)) =
            (plan.as_array_mut(), wipe(machine, others, context)?["plan"].as_array())
        {
            plan.extend(wiped.iter().cloned());
        }
        return Ok(json!({ "plan": plan }));
    }
    let carried = carry_out(&source, own, &policy, context.observer);
    if carried.stopped {
        return carried.into_proofs().map(|proofs| result(&proofs));
    }
    // Those whose own commands fail are wiped like the others.
    for failure in &carried.failures {
        tracing::warn!(device = %failure.device, reason = %failure.reason, "its metadata is wiped instead");
        others.push(failure.device.clone());
    }
    let mut proofs = carried.proofs;
    let mut wiped = wipe(machine, others, context).map_err(|error| with_done(error, &proofs))?;
    let mut more: Vec<Proof> = serde_json::from_value(wiped["proofs"].take())
        .map_err(|error| with_done(unreadable(&error), &proofs))?;
    for proof in &mut more {
        if let Some(failure) = carried.failures.iter().find(|failure| failure.device == proof.device) {
            proof.actions.insert(0, format!("the drive's own commands: {}", failure.reason));
        }
    }
    proofs.append(&mut more);
    proofs.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(result(&proofs))
}

/// Wipes the metadata of these devices and of no other.
fn wipe(machine: &Machine, devices: Vec<String>, context: &StepContext<'_>) -> Result<Value, StepError> {
    if devices.is_empty() {
        return Ok(json!({ "proofs": [], "plan": [] }));
    }
    let only = devices.into_iter().map(PathBuf::from).collect();
    let machine = Machine::new(machine.roots().clone(), Some(only));
    let mut args = Map::new();
    args.insert("dry_run".to_owned(), Value::Bool(context.dry_run()?));
    wipe_metadata(&machine, &StepContext { args: &args, ..*context })
}

fn unreadable(error: &serde_json::Error) -> StepError {
    StepError::Failed {
        class: "CleaningError",
        code: 500,
        message: "Clean step failed",
        details: format!("the wipe of metadata returned no proofs: {error}"),
        retry: false,
        touched: true,
    }
}

/// What was erased before the wipe failed counts as done.
fn with_done(error: StepError, proofs: &[Proof]) -> StepError {
    match error {
        StepError::Erase { failures, mut done, touched } => {
            done.extend(proofs.iter().map(|proof| proof.device.clone()));
            StepError::Erase { failures, done, touched: touched || !proofs.is_empty() }
        }
        other => other,
    }
}
