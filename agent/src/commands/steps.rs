//! `get_*_steps` and `execute_*_step` (IPA contract §2.3, §2.4).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tacit_hardware::{RemoteFile, StepContext, StepError, StepFamily, StepObserver};
use tacit_model::Proof;
use tacit_protocol::error::DiskState;
use tacit_protocol::v2::{Progress, ProgressUnit};

use super::step_files;
use super::table::Call;
use crate::init::load_file_systems;
use crate::jobs::CommandError;

/// The one step that mounts.
const INJECT_FILES: &str = "inject_files";

/// What the three families of steps differ in.
pub(super) struct Family {
    /// `clean`.
    word: &'static str,
    steps: StepFamily,
}

pub(super) const CLEAN: Family = Family { word: "clean", steps: StepFamily::Clean };
pub(super) const DEPLOY: Family = Family { word: "deploy", steps: StepFamily::Deploy };
pub(super) const SERVICE: Family = Family { word: "service", steps: StepFamily::Service };

impl Family {
    pub(super) fn list(&self, call: &Call<'_>) -> Result<Value, CommandError> {
        let (node, ports) = (&call.params["node"], &call.params["ports"]);
        call.agent.remember_node(node);
        let listed = call.agent.managers.steps(self.steps, node, ports);
        let steps = listed.map_err(|error| from_step(&format!("get_{}_steps", self.word), &error))?;
        Ok(json!({
            format!("{}_steps", self.word): steps,
            "hardware_manager_version": call.agent.managers.versions(),
        }))
    }

    pub(super) fn execute(&self, call: &Call<'_>) -> Result<Value, CommandError> {
        let (step, node, ports) = (&call.params["step"], &call.params["node"], &call.params["ports"]);
        call.agent.remember_node(node);
        let version_key = format!("{}_version", self.word);
        check_versions(&call.agent.managers.versions(), call.params.get(&version_key))?;
        let Some(name) = step.get("step").and_then(Value::as_str) else {
            let text = format!("Malformed {}_step, no \"step\" key: {}", self.word, python(step));
            return Err(CommandError::execution(text));
        };
        let mut args: Map<String, Value> = call
            .params
            .iter()
            .filter(|(key, _)| !["step", "node", "ports", version_key.as_str()].contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if let Some(Value::Object(own)) = step.get("args") {
            args.extend(own.clone());
        }
        if name == INJECT_FILES {
            load_file_systems();
        }
        let observer = Observer { call, step: name };
        let context = StepContext { node, ports, args: &args, observer: &observer };
        let outcome = call.agent.managers.run_step(self.steps, name, &context).map_err(|error| {
            // A step of our own tells more than the dispatch between us can carry.
            call.job.take_failure().unwrap_or_else(|| from_step(name, &error))
        })?;
        // Ironic reads the two first; whose step it was is for those who ask what was done to the machine.
        Ok(json!({
            format!("{}_result", self.word): outcome.result,
            format!("{}_step", self.word): step,
            "manager": outcome.manager,
        }))
    }
}

/// A mismatch means that the agent is another one than the one that offered the steps.
fn check_versions(ours: &BTreeMap<String, String>, theirs: Option<&Value>) -> Result<(), CommandError> {
    let Some(theirs) = theirs.filter(|value| !value.is_null()) else { return Ok(()) };
    let ours = json!(ours);
    if *theirs == ours {
        return Ok(());
    }
    let text = format!("Current versions: {}, versions used by ironic: {}", python(&ours), python(theirs));
    let mut error = CommandError::new("VersionMismatch", text);
    error.ending = crate::jobs::Ending::VersionMismatch;
    Err(error)
}

/// How a step, or what has to do with steps, fails.
pub(super) fn from_step(step: &str, error: &StepError) -> CommandError {
    let details = match error {
        StepError::NoManager { .. } => format!("Could not find method: {step}"),
        other => other.details(),
    };
    let mut failure = CommandError::new(error.class(), details);
    failure.error.code = error.code();
    failure.error.message = error.message().to_owned();
    failure.error.retry = error.retry();
    failure.error.proofs = error.proofs().to_vec();
    failure.error.disk = if error.disk_touched() { DiskState::NotBootable } else { DiskState::Untouched };
    if matches!(error, StepError::Cancelled { .. } | StepError::Stopped { .. } | StepError::Halted { .. }) {
        failure.ending = crate::jobs::Ending::Cancelled;
    }
    failure
}

/// A value in Python's `repr`: only texts, numbers and what holds them occur here.
fn python(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => {
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            let mut quoted = text.replace('\\', "\\\\");
            if quote == '\'' {
                quoted = quoted.replace('\'', "\\'");
            }
            format!("{quote}{quoted}{quote}")
        }
        Value::Array(items) => format!("[{}]", items.iter().map(python).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => {
            let members: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}: {}", python(&Value::String(key.clone())), python(value)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
    }
}

/// The running operation as a step sees it.
struct Observer<'a> {
    call: &'a Call<'a>,
    step: &'a str,
}

impl Observer<'_> {
    /// What the step hears of a failure of ours; the whole of it is kept beside.
    fn tell(&self, failure: CommandError) -> StepError {
        let told = StepError::Failed {
            class: "CommandExecutionError",
            code: 500,
            message: "Command execution failed",
            details: failure.error.details.clone(),
            retry: failure.error.retry,
            touched: false,
        };
        self.call.job.set_failure(failure);
        told
    }
}

impl StepObserver for Observer<'_> {
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, unit: ProgressUnit) {
        self.call.job.progress(Progress {
            step: self.step.to_owned(),
            stage: stage.to_owned(),
            device: Some(device.to_owned()),
            done,
            total: Some(total),
            unit,
            ..Progress::default()
        });
    }

    fn cancelled(&self) -> bool {
        self.call.job.cancelled()
    }

    fn about_to_write(&self) -> Result<(), StepError> {
        self.call.job.touch_disk().map_err(|failure| self.tell(failure))
    }

    fn device_done(&self, proof: &Proof) {
        self.call.job.keep_proof(proof);
    }

    fn deployed_disk(&self) -> Option<String> {
        self.call.agent.deployed().map(|deployed| deployed.device)
    }

    fn fetch(&self, wanted: &RemoteFile<'_>) -> Result<Vec<u8>, StepError> {
        step_files::fetch(self.call.agent, self.call.job, wanted).map_err(|failure| self.tell(failure))
    }
}

#[cfg(test)]
mod tests {
    use tacit_hardware::DeviceFailure;
    use tacit_model::ProofResult;

    use super::*;

    #[test]
    fn versions_are_named_as_python_names_them() {
        let ours = BTreeMap::from([("a".to_owned(), "1.2".to_owned())]);
        assert!(check_versions(&ours, None).is_ok());
        assert!(check_versions(&ours, Some(&Value::Null)).is_ok());
        assert!(check_versions(&ours, Some(&json!({"a": "1.2"}))).is_ok());
        let error = check_versions(&ours, Some(&json!({"b'": "0.1"}))).unwrap_err();
        assert_eq!(
            error.error.details,
            "Current versions: {'a': '1.2'}, versions used by ironic: {\"b'\": '0.1'}"
        );
        assert_eq!(error.error.code, 409);
    }

    #[test]
    fn what_became_of_each_device_travels_with_the_failure() {
        let good = Proof { device: "/dev/sda".into(), result: ProofResult::Proven, ..Proof::default() };
        let bad = Proof { device: "/dev/sdb".into(), ..Proof::default() }.failed("broken");
        let failures = vec![DeviceFailure { device: "/dev/sdb".into(), reason: "broken".into() }];
        let error = StepError::Erase { failures, proofs: vec![good, bad], touched: true };
        let failure = serde_json::to_value(from_step("erase_devices", &error).error).unwrap();
        assert_eq!(failure["proofs"][0]["result"], "proven");
        assert_eq!(failure["proofs"][1]["result"], "failed");
        assert_eq!(failure["proofs"][1]["actions"], json!(["failed: broken"]));
        let other = from_step("x", &StepError::Cancelled { done: 0, total: 1 }).error;
        assert!(serde_json::to_value(other).unwrap().get("proofs").is_none());
    }
}
