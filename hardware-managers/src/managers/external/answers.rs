//! What answers have to be like before anybody acts on them.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tacit_model::{Proof, ProofResult, Step};

use super::super::manager::StepFamily;
use super::fault::Fault;
use super::protocol::{Description, OfferedStep, PROTOCOL};

/// Steps of one manager; more of them are a mistake.
const MOST_STEPS: usize = 256;
const LONGEST_NAME: usize = 64;

/// What a step may take that does not say, and what any may.
const STEP_TIME: Duration = Duration::from_secs(60 * 60);
const LONGEST_STEP_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The same for stopping.
const STOP_TIME: Duration = Duration::from_secs(5);
const LONGEST_STOP_TIME: Duration = Duration::from_secs(300);

pub(super) fn check_description(description: &Description) -> Result<(), Fault> {
    if description.protocol != PROTOCOL {
        return Err(Fault::Protocol(description.protocol));
    }
    check_name("name", &description.name)?;
    check_name("version", &description.version)
}

/// # Errors
///
/// [`Fault::Unusable`] when a name is not one or is there twice.
pub(super) fn check_steps(steps: &[OfferedStep]) -> Result<(), Fault> {
    if steps.len() > MOST_STEPS {
        return Err(Fault::Unusable(format!("{} steps are more than {MOST_STEPS}", steps.len())));
    }
    let mut names = BTreeSet::new();
    for step in steps {
        check_name("step", &step.step)?;
        check_name("interface", &step.interface)?;
        if !names.insert(&step.step) {
            return Err(Fault::Unusable(format!("the step {} is there twice", step.step)));
        }
    }
    Ok(())
}

fn check_name(what: &str, name: &str) -> Result<(), Fault> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        let shown = super::process::shown(name.as_bytes());
        let text = format!(
            "{what} {shown:?}: 1 to {LONGEST_NAME} letters, digits, dots, dashes, pluses and underscores \
             are expected"
        );
        return Err(Fault::Unusable(text));
    }
    Ok(())
}

impl OfferedStep {
    /// As it is offered in this family; `None` where it is not.
    pub(super) fn offer(&self, family: StepFamily) -> Option<Step> {
        let priority = match family {
            StepFamily::Clean => self.clean,
            StepFamily::Deploy => self.deploy,
            StepFamily::Service => self.service,
        }?;
        Some(Step {
            interface: self.interface.clone(),
            step: self.step.clone(),
            priority,
            reboot_requested: self.reboot_requested,
            abortable: self.abortable,
            argsinfo: self.argsinfo.clone(),
        })
    }

    /// Whether it has to prove what it did. What is called erasing is, whatever it says of itself.
    pub(super) fn must_prove(&self) -> bool {
        self.destructive || self.step.starts_with("erase")
    }

    pub(super) fn time(&self) -> Duration {
        self.timeout_seconds.map_or(STEP_TIME, Duration::from_secs).min(LONGEST_STEP_TIME)
    }

    /// How long it may take to stop; `None` where it must not be stopped.
    pub(super) fn stop_time(&self) -> Option<Duration> {
        let wanted = self.stop_seconds.map_or(STOP_TIME, Duration::from_secs);
        self.abortable.then_some(wanted.min(LONGEST_STOP_TIME))
    }
}

/// Marks the proofs as the manager's own words.
///
/// # Errors
///
/// [`Fault::Unproven`] when a step that has to prove what it did brings no proof, or one that shows nothing.
pub(super) fn check_proofs(step: &OfferedStep, manager: &str, proofs: &mut [Proof]) -> Result<(), Fault> {
    if step.must_prove() && proofs.is_empty() {
        return Err(Fault::Unproven("there is no proof for any device".to_owned()));
    }
    for proof in proofs {
        let unproven = |problem: &str| Fault::Unproven(format!("proof of {:?}: {problem}", proof.device));
        if proof.device.trim().is_empty() || proof.method.trim().is_empty() {
            return Err(unproven("device and method must be named"));
        }
        match proof.result {
            ProofResult::Proven if proof.verification.iter().all(|line| line.trim().is_empty()) => {
                return Err(unproven("nothing was verified"));
            }
            ProofResult::Failed => return Err(unproven("it failed, and the step says that it succeeded")),
            ProofResult::Skipped if proof.actions.iter().all(|line| line.trim().is_empty()) => {
                return Err(unproven("skipped without a reason"));
            }
            _ => proof.claimed_by = Some(manager.to_owned()),
        }
    }
    Ok(())
}

/// The outcome of a step: what the manager returned, with the proofs in it.
pub(super) fn step_result(result: Value, proofs: &[Proof]) -> Value {
    if proofs.is_empty() {
        return result;
    }
    let mut members = match result {
        Value::Object(members) => members,
        Value::Null => serde_json::Map::new(),
        other => serde_json::Map::from_iter([("result".to_owned(), other)]),
    };
    members.insert("proofs".to_owned(), serde_json::json!(proofs));
    Value::Object(members)
}
