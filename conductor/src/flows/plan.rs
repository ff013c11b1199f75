//! Which steps a flow has, and how far it is. Pure data: what is written to the store.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A flow of one node, as it lies in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FlowRecord {
    /// Unique among all flows of all time; operation ids on the agent are made from it.
    pub(super) id: String,
    pub(super) kind: FlowKind,
    pub(super) steps: Vec<StepRecord>,
    /// Index of the step that runs or comes next.
    pub(super) current: usize,
    /// Versions of the hardware managers that offered the clean steps, for an agent that wants to hear them again.
    #[serde(default)]
    pub(super) clean_version: Option<Value>,
    /// Why the flow was given up. It is kept until the machine is let go.
    pub(super) abandoned: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FlowKind {
    Verify,
    Inspect,
    Clean,
    Deploy,
    Undeploy,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct StepRecord {
    pub(super) step: FlowStep,
    pub(super) state: StepState,
    /// Unix time.
    pub(super) started_at: Option<f64>,
    /// Unix time.
    pub(super) finished_at: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum StepState {
    Pending,
    Running,
    Done,
    Failed,
}

/// One step of a flow. Each may be begun again after a crash of the conductor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub(super) enum FlowStep {
    /// The BMC answers, accepts the credentials and knows the system.
    VerifyBmc,
    PowerOff,
    /// Makes the node's medium and key, inserts it and sets the boot device.
    InsertMedium,
    PowerOn,
    /// Polls the known IP until this node's agent answers.
    WaitForAgent,
    /// Takes the inventory.
    Inspect,
    /// Asks the agent for its clean steps and puts them behind this step.
    GetCleanSteps,
    CleanStep {
        step: Map<String, Value>,
    },
    WriteImage,
    InstallBootloader,
    /// Lets the agent flush everything before the power goes.
    Sync,
    /// Ejects the medium and sets the boot device to the disk.
    EjectMedium,
    /// Forgets the instance; from here on the node is being cleaned.
    ForgetInstance,
}

impl FlowStep {
    /// The name that history, events and watchers show.
    pub(super) fn name(&self) -> String {
        match self {
            Self::VerifyBmc => "verify_bmc".into(),
            Self::PowerOff => "power_off".into(),
            Self::InsertMedium => "insert_medium".into(),
            Self::PowerOn => "power_on".into(),
            Self::WaitForAgent => "wait_for_agent".into(),
            Self::Inspect => "inspect".into(),
            Self::GetCleanSteps => "get_clean_steps".into(),
            Self::CleanStep { step } => {
                step.get("step").and_then(Value::as_str).unwrap_or("clean_step").to_owned()
            }
            Self::WriteImage => "write_image".into(),
            Self::InstallBootloader => "install_bootloader".into(),
            Self::Sync => "sync".into(),
            Self::EjectMedium => "eject_medium".into(),
            Self::ForgetInstance => "forget_instance".into(),
        }
    }

    /// Whether the node is shown in its wait state meanwhile: the agent works, or is waited for.
    pub(super) fn waits_for_agent(&self) -> bool {
        matches!(
            self,
            Self::WaitForAgent
                | Self::Inspect
                | Self::GetCleanSteps
                | Self::CleanStep { .. }
                | Self::WriteImage
                | Self::InstallBootloader
                | Self::Sync
        )
    }
}

const BOOT_RAMDISK: [FlowStep; 4] =
    [FlowStep::PowerOff, FlowStep::InsertMedium, FlowStep::PowerOn, FlowStep::WaitForAgent];
const LEAVE_OFF: [FlowStep; 2] = [FlowStep::PowerOff, FlowStep::EjectMedium];

impl FlowRecord {
    pub(super) fn verify(id: String) -> Self {
        Self::new(id, FlowKind::Verify, [FlowStep::VerifyBmc])
    }

    pub(super) fn inspect(id: String) -> Self {
        Self::new(id, FlowKind::Inspect, BOOT_RAMDISK.into_iter().chain([FlowStep::Inspect]).chain(LEAVE_OFF))
    }

    /// Automated cleaning asks the agent what to do; manual cleaning does what was asked for, in that order.
    pub(super) fn clean(id: String, manual: Option<Vec<Map<String, Value>>>) -> Self {
        let work = match manual {
            None => vec![FlowStep::GetCleanSteps],
            Some(steps) => steps.into_iter().map(|step| FlowStep::CleanStep { step }).collect(),
        };
        Self::new(id, FlowKind::Clean, BOOT_RAMDISK.into_iter().chain(work).chain(LEAVE_OFF))
    }

    pub(super) fn deploy(id: String) -> Self {
        let work = [FlowStep::WriteImage, FlowStep::InstallBootloader, FlowStep::Sync];
        let steps = BOOT_RAMDISK.into_iter().chain(work).chain(LEAVE_OFF).chain([FlowStep::PowerOn]);
        Self::new(id, FlowKind::Deploy, steps)
    }

    pub(super) fn undeploy(id: String, clean: bool) -> Self {
        let mut steps = vec![FlowStep::PowerOff, FlowStep::ForgetInstance];
        if clean {
            steps.extend(BOOT_RAMDISK);
            steps.push(FlowStep::GetCleanSteps);
            steps.extend(LEAVE_OFF);
        }
        Self::new(id, FlowKind::Undeploy, steps)
    }

    fn new(id: String, kind: FlowKind, steps: impl IntoIterator<Item = FlowStep>) -> Self {
        let pending =
            |step| StepRecord { step, state: StepState::Pending, started_at: None, finished_at: None };
        let steps = steps.into_iter().map(pending).collect();
        Self { id, kind, steps, current: 0, clean_version: None, abandoned: None }
    }

    pub(super) fn step(&self) -> Option<&StepRecord> {
        self.steps.get(self.current)
    }

    /// When the machine was last switched on by this flow (Unix time).
    pub(super) fn powered_on_at(&self) -> Option<f64> {
        let done = self.steps.iter().take(self.current);
        done.rev().find(|record| record.step == FlowStep::PowerOn)?.finished_at
    }

    /// Id under which the agent knows what a step does: the same after a restart of the conductor.
    pub(super) fn operation_id(&self) -> String {
        format!("{}-{}", self.id, self.current)
    }

    /// Puts the agent's automated clean steps behind the current one: highest priority first, 0 left out.
    pub(super) fn add_clean_steps(&mut self, mut offered: Vec<Map<String, Value>>) {
        let priority = |step: &Map<String, Value>| step.get("priority").and_then(Value::as_i64).unwrap_or(0);
        offered.retain(|step| priority(step) > 0);
        offered.sort_by_key(|step| std::cmp::Reverse(priority(step)));
        let records = offered.into_iter().map(|step| StepRecord {
            step: FlowStep::CleanStep { step },
            state: StepState::Pending,
            started_at: None,
            finished_at: None,
        });
        let at = self.current + 1;
        self.steps.splice(at..at, records);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn names(flow: &FlowRecord) -> Vec<String> {
        flow.steps.iter().map(|record| record.step.name()).collect()
    }

    #[test]
    fn deploy_writes_before_it_boots_the_disk_and_never_with_the_medium_in() {
        let flow = FlowRecord::deploy("f".into());
        let names = names(&flow);
        let at = |name: &str| names.iter().rposition(|n| n == name).unwrap();
        assert!(at("wait_for_agent") < at("write_image"));
        assert!(at("write_image") < at("sync") && at("sync") < at("power_off"));
        assert!(at("power_off") < at("eject_medium") && at("eject_medium") < at("power_on"));
    }

    #[test]
    fn offered_clean_steps_run_by_priority_and_zero_is_left_out() {
        let mut flow = FlowRecord::clean("f".into(), None);
        flow.current = flow.steps.iter().position(|s| s.step == FlowStep::GetCleanSteps).unwrap();
        let step = |name: &str, priority: i64| {
            json!({"step": name, "interface": "deploy", "priority": priority}).as_object().unwrap().clone()
        };
        flow.add_clean_steps(vec![step("a", 10), step("never", 0), step("b", 99)]);
        assert_eq!(names(&flow)[flow.current + 1..], ["b", "a", "power_off", "eject_medium"]);
    }

    #[test]
    fn power_on_is_remembered_from_its_end() {
        let mut flow = FlowRecord::deploy("f".into());
        let first = flow.steps.iter().position(|record| record.step == FlowStep::PowerOn).unwrap();
        flow.current = first;
        assert_eq!(flow.powered_on_at(), None);
        flow.steps[first].finished_at = Some(7.0);
        flow.current = first + 1;
        assert_eq!(flow.powered_on_at(), Some(7.0));
    }

    #[test]
    fn record_survives_the_store() {
        let mut flow = FlowRecord::undeploy("f".into(), true);
        flow.current = 3;
        let text = serde_json::to_string(&flow).unwrap();
        assert_eq!(serde_json::from_str::<FlowRecord>(&text).unwrap(), flow);
        assert_eq!(flow.operation_id(), "f-3");
    }
}
