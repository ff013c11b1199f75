//! The step `erase_devices_express`: the quick commands of NVMe drives, and a wipe of metadata for all others
//! (IPA contract §5.2).

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use tacit_model::{Proof, ProofResult};

use super::policy::{Choice, Policy};
use super::source::{DriveSource, MachineDrives};
use super::step::{carry_out, result, wipe_metadata};
use super::survey::{list, probe};
use crate::machine::Machine;
use crate::managers::{DeviceFailure, StepContext, StepError};

pub(super) fn run(machine: &Machine, context: &StepContext<'_>, policy: &Policy) -> Result<Value, StepError> {
    let source: Arc<dyn DriveSource> = Arc::new(MachineDrives::new(machine));
    let policy = Policy { choice: Choice::Express, ..policy.clone() };
    let disks = list(machine, context.observer)?;
    let (own, mut others) = probe(&source, disks, context, &policy)?.split_erasable();
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
    proofs.retain(|proof| proof.result != ProofResult::Failed);
    let names = others.clone();
    let mut wiped = match wipe(machine, others, context) {
        Ok(wiped) => wiped,
        Err(error) => return Err(with_done(error, proofs, &names)),
    };
    let mut more: Vec<Proof> = match serde_json::from_value(wiped["proofs"].take()) {
        Ok(more) => more,
        Err(error) => return Err(with_done(unreadable(&error), proofs, &names)),
    };
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

/// What was erased before the wipe of the others failed stays erased, and proven.
fn with_done(error: StepError, mut proofs: Vec<Proof>, others: &[String]) -> StepError {
    if proofs.is_empty() {
        return error;
    }
    let all_of = |mut more: Vec<Proof>| {
        proofs.append(&mut more);
        proofs.sort_by(|a, b| a.device.cmp(&b.device));
        proofs
    };
    let each = |reason: &str| -> (Vec<DeviceFailure>, Vec<Proof>) {
        let one = |device: &String| {
            let proof = Proof { device: device.clone(), method: "none".to_owned(), ..Proof::default() };
            (DeviceFailure { device: device.clone(), reason: reason.to_owned() }, proof.failed(reason))
        };
        others.iter().map(one).unzip()
    };
    match error {
        StepError::Erase { failures, proofs, .. } => {
            StepError::Erase { failures, proofs: all_of(proofs), touched: true }
        }
        StepError::Halted { states, proofs, .. } => {
            StepError::Halted { states, proofs: all_of(proofs), touched: true }
        }
        StepError::Cancelled { .. } => {
            let (states, failed) = each("stopped before anything on it was changed");
            StepError::Halted { states, proofs: all_of(failed), touched: true }
        }
        other => {
            let (failures, failed) = each(&other.details());
            StepError::Erase { failures, proofs: all_of(failed), touched: true }
        }
    }
}
