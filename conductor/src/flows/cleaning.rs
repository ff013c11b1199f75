//! Clean steps: which are run, with what of Ironic's knobs, and what is kept of their proofs.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use tacit_model::{DevicePlan, PlanVerdict, Proof, ProofResult};
use tacit_protocol::v2::Operation;

use super::step_files;
use super::steps::{Effect, Outcome, StepError, Work, done};
use crate::agents::IpaSettings;
use crate::chain::chain;
use crate::erasure::{Issuer, statements};
use crate::node::Node;
use crate::pki::{PkiError, Signed};

/// Ironic's options for cleaning (`[deploy]`, API contract); `None` leaves the agent's priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CleaningPolicy {
    pub erase_devices_priority: Option<u32>,
    pub erase_devices_metadata_priority: Option<u32>,
    /// Passes of random data before the last one.
    pub erase_devices_iterations: u32,
    /// Whether the last pass writes zeros.
    pub erase_devices_zeroize: bool,
    pub enable_ata_secure_erase: bool,
    pub enable_nvme_secure_erase: bool,
    /// Whether a drive that fails to erase itself is overwritten instead.
    pub continue_if_disk_secure_erase_fails: bool,
    pub erase_skip_read_only: bool,
    /// How many devices are erased at the same time.
    pub disk_erasure_concurrency: u32,
}

impl Default for CleaningPolicy {
    fn default() -> Self {
        Self {
            erase_devices_priority: None,
            erase_devices_metadata_priority: None,
            erase_devices_iterations: 1,
            erase_devices_zeroize: true,
            enable_ata_secure_erase: true,
            enable_nvme_secure_erase: true,
            continue_if_disk_secure_erase_fails: false,
            erase_skip_read_only: false,
            disk_erasure_concurrency: 4,
        }
    }
}

impl CleaningPolicy {
    /// What agents read in `driver_internal_info` (IPA contract §5.2).
    fn knobs(&self) -> Value {
        json!({
            "agent_erase_devices_iterations": self.erase_devices_iterations,
            "agent_erase_devices_zeroize": self.erase_devices_zeroize,
            "agent_enable_ata_secure_erase": self.enable_ata_secure_erase,
            "agent_enable_nvme_secure_erase": self.enable_nvme_secure_erase,
            "agent_continue_if_secure_erase_failed": self.continue_if_disk_secure_erase_fails,
            "agent_erase_skip_read_only": self.erase_skip_read_only,
            "disk_erasure_concurrency": self.disk_erasure_concurrency,
        })
    }

    fn priority(&self, step: &str) -> Option<u32> {
        match step {
            "erase_devices" => self.erase_devices_priority,
            "erase_devices_metadata" => self.erase_devices_metadata_priority,
            _ => None,
        }
    }
}

/// What of `driver_info` concerns the agent: never how to reach the BMC or the agent itself.
fn for_agent(node: &Node) -> Map<String, Value> {
    let concerns = |key: &str| {
        let how_to_reach_it = IpaSettings::KEYS.contains(&key);
        let agents = key.starts_with("agent_") && !how_to_reach_it;
        agents || matches!(key, "opal_psids" | "wipe_special_filesystems")
    };
    let info = node.driver_info.iter().filter(|(key, _)| concerns(key));
    info.map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl Work<'_> {
    pub(super) async fn get_clean_steps(&self) -> Result<Outcome, StepError> {
        let operation = self.operate("clean.get_clean_steps", self.clean_params()?, None).await?;
        self.offered(&operation.result.unwrap_or_default(), None)
    }

    /// What follows from an agent's answer to `get_clean_steps`.
    pub(super) fn offered(&self, result: &Value, version: Option<Value>) -> Result<Outcome, StepError> {
        let by_manager = result["clean_steps"].as_object();
        let mut offered: Vec<Map<String, Value>> = by_manager
            .into_iter()
            .flat_map(Map::values)
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(|step| step.as_object().cloned())
            .collect();
        if offered.is_empty() {
            return Err(StepError::Refused(
                "the agent offers no clean steps: nothing would be cleaned".into(),
            ));
        }
        let policy = &self.engine.config.cleaning;
        for step in &mut offered {
            let name = step.get("step").and_then(Value::as_str).unwrap_or_default();
            if let Some(priority) = policy.priority(name) {
                step.insert("priority".into(), priority.into());
            }
        }
        let message = format!("{} clean steps offered", offered.len());
        done(Effect::CleanSteps { offered, version }, message)
    }

    pub(super) async fn clean_step(&self, step: &Map<String, Value>) -> Result<Outcome, StepError> {
        let mut params = self.clean_params()?;
        params.insert("step".into(), Value::Object(step.clone()));
        let name = name_of(step);
        let allowance = step_files::allowance(&params).map_err(StepError::Refused)?.map(Arc::new);
        let operation = match self.operate("clean.execute_clean_step", params, allowance).await {
            Err(StepError::Operation { command, cancelled, error, .. }) => {
                let statements = self.state(name, None, &error.proofs)?;
                return Err(StepError::Operation { command, cancelled, error, statements });
            }
            answer => answer?,
        };
        let mut answer = operation.result.unwrap_or_default();
        let result = answer["clean_result"].take();
        let manager = answer["manager"].as_str();
        if step.get("args").is_some_and(|args| args["dry_run"] == Value::Bool(true)) {
            return match result.get("plan") {
                Some(plan) if !plan.is_null() => done(Effect::Nothing, planned(plan)),
                // Then nothing tells that it only planned.
                _ => Err(StepError::Refused(format!("{name} was asked for a plan and returned none"))),
            };
        }
        let proofs = read::<Proof>(&result, "proofs", name)?;
        // A machine without disks says so; silence is not that.
        if name.starts_with("erase_devices") && proofs.is_empty() && result["disks"] != 0 {
            return Err(StepError::Refused(format!("{name} reported success without a proof")));
        }
        let signed = self.state(name, manager, &proofs)?;
        done(Effect::Erased(signed), said(manager, &proofs))
    }

    /// What is to be stored with the node of a step's proofs.
    fn state(&self, step: &str, manager: Option<&str>, proofs: &[Proof]) -> Result<Vec<Signed>, StepError> {
        let operation = &self.flow.operation_id();
        let issuer =
            Issuer { conductor: &self.engine.config.hostname, node: self.node, step, manager, operation };
        let unsigned = statements(&issuer, proofs);
        let signed: Result<_, PkiError> = unsigned.iter().map(|one| self.engine.pki.sign(one)).collect();
        signed.map_err(|error| StepError::Refused(chain(&error)))
    }

    /// The same of a step whose end nobody waited for.
    pub(super) fn state_late(
        &self,
        step: &Map<String, Value>,
        operation: &Operation,
    ) -> Result<Vec<Signed>, StepError> {
        let name = name_of(step);
        match (&operation.error, &operation.result) {
            (Some(error), _) => self.state(name, None, &error.proofs),
            (None, Some(answer)) => {
                let proofs = read::<Proof>(&answer["clean_result"], "proofs", name)?;
                self.state(name, answer["manager"].as_str(), &proofs)
            }
            (None, None) => Ok(Vec::new()),
        }
    }

    /// `node` and `ports` as clean steps get them: with the knobs, without secrets.
    pub(super) fn clean_params(&self) -> Result<Map<String, Value>, StepError> {
        let mut params = self.node_params()?;
        params["node"]["driver_internal_info"] = self.engine.config.cleaning.knobs();
        params["node"]["driver_info"] = for_agent(self.node).into();
        Ok(params)
    }
}

fn name_of(step: &Map<String, Value>) -> &str {
    step.get("step").and_then(Value::as_str).unwrap_or_default()
}

fn read<T: serde::de::DeserializeOwned>(
    result: &Value,
    member: &str,
    step: &str,
) -> Result<Vec<T>, StepError> {
    let list = match &result[member] {
        Value::Null => return Ok(Vec::new()),
        list => list.clone(),
    };
    serde_json::from_value(list).map_err(|error| {
        StepError::Refused(format!("what {step} returned as {member} is not understood: {error}"))
    })
}

/// `nvme-sanitize-crypto (purge) of /dev/nvme0n1; skipped /dev/sda: read-only`
fn said(manager: Option<&str>, proofs: &[Proof]) -> String {
    let one = |proof: &Proof| match proof.result {
        ProofResult::Proven => format!("{} ({}) of {}", proof.method, level(proof.standard), proof.device),
        ProofResult::Skipped => {
            let why = proof.actions.first().map(String::as_str).unwrap_or("skipped");
            format!("{} {why}", proof.device)
        }
        ProofResult::Failed => format!("{} failed", proof.device),
    };
    let by = manager.map(|name| format!(" by {name}")).unwrap_or_default();
    if proofs.is_empty() {
        return format!("done{by}");
    }
    let devices: Vec<String> = proofs.iter().map(one).collect();
    let proven = proofs.iter().filter(|proof| proof.result == ProofResult::Proven).count();
    format!("done{by}, proven for {proven} devices: {}", devices.join("; "))
}

fn level(standard: tacit_model::EraseStandard) -> &'static str {
    match standard {
        tacit_model::EraseStandard::None => "no standard",
        tacit_model::EraseStandard::Clear => "clear",
        tacit_model::EraseStandard::Purge => "purge",
    }
}

/// A plan in one line: nothing was touched. Steps that plan anything else than erasing devices tell it in their own way.
fn planned(plan: &Value) -> String {
    let Ok(devices) = serde_json::from_value::<Vec<DevicePlan>>(plan.clone()) else {
        return format!("plan, nothing was touched: {plan}");
    };
    let one = |device: &DevicePlan| {
        let reasons = device.reasons.join(", ");
        match device.verdict {
            PlanVerdict::Skip => format!("{} would be skipped: {reasons}", device.device),
            PlanVerdict::Refuse => format!("{} would be refused: {reasons}", device.device),
            PlanVerdict::Erase => {
                let methods = device.methods.iter();
                let methods: Vec<String> =
                    methods.map(|method| format!("{} ({})", method.method, level(method.standard))).collect();
                format!("{} would be erased by {}", device.device, methods.join(", else "))
            }
        }
    };
    let lines: Vec<String> = devices.iter().map(one).collect();
    format!("plan, nothing was touched: {}", lines.join("; "))
}
