//! Whether a manager that took the place of an erase step of ours accounts for all devices.

use serde::Deserialize;
use serde_json::Value;
use tacit_model::{DevicePlan, PlanVerdict, Proof, ProofResult};

use super::error::{DeviceFailure, StepError};

/// Of a device that there is not, as much of its name as is told.
const LONGEST_NAME: usize = 64;

/// `planned` is what the agent's own step would have done: one proof for each of these devices, and none else; and only
/// those are left alone that the agent would have left alone.
///
/// # Errors
///
/// [`StepError::Erase`] with each device that is not accounted for; the other proofs count.
pub(super) fn check_complete(
    manager: &str,
    planned: Vec<DevicePlan>,
    result: &Value,
) -> Result<(), StepError> {
    let told: Vec<Proof> = Vec::deserialize(&result["proofs"]).unwrap_or_default();
    let (mut failures, mut proofs) = (Vec::new(), Vec::new());
    let unknown = |proof: &&Proof| !planned.iter().any(|plan| plan.device == proof.device);
    for proof in told.iter().filter(unknown) {
        let device: String = proof.device.chars().take(LONGEST_NAME).collect();
        let reason = format!("there is no such disk, and hardware manager {manager} has a proof for it");
        failures.push(DeviceFailure { device, reason });
    }
    for DevicePlan { device, verdict, .. } in planned {
        let mut of_it = told.iter().filter(|proof| proof.device == device);
        let reason = match (of_it.next(), of_it.next()) {
            (None, _) => format!("hardware manager {manager} has no proof for it"),
            (_, Some(_)) => format!("hardware manager {manager} has more than one proof for it"),
            (Some(proof), None) if proof.result == ProofResult::Skipped && verdict != PlanVerdict::Skip => {
                let why = proof.actions.join("; ");
                format!("hardware manager {manager} left it alone, and nothing of the node says so: {why}")
            }
            (Some(proof), None) => {
                proofs.push(proof.clone());
                continue;
            }
        };
        let proof = Proof { device: device.clone(), method: "none".to_owned(), ..Proof::default() };
        proofs.push(proof.failed(&reason));
        failures.push(DeviceFailure { device, reason });
    }
    if failures.is_empty() { Ok(()) } else { Err(StepError::Erase { failures, proofs, touched: true }) }
}
