//! The manager that works on any machine.

use serde_json::{Value, json};
use tacit_model::Step;

use super::error::StepError;
use super::manager::{HardwareManager, StepContext, SupportLevel};
use crate::machine::Machine;
use crate::wipe;

const ERASE_METADATA: &str = "erase_devices_metadata";

/// Default steps, in IPA's names and priorities (IPA contract §5.1).
#[derive(Clone, Debug)]
pub struct GenericHardwareManager {
    machine: Machine,
}

impl GenericHardwareManager {
    pub fn new(machine: Machine) -> Self {
        Self { machine }
    }
}

fn erase_metadata(priority: i32) -> Step {
    Step {
        interface: "deploy".to_owned(),
        step: ERASE_METADATA.to_owned(),
        priority,
        reboot_requested: false,
        abortable: true,
        argsinfo: std::collections::BTreeMap::new(),
    }
}

impl HardwareManager for GenericHardwareManager {
    fn name(&self) -> &str {
        "generic_hardware_manager"
    }

    fn class(&self) -> &str {
        "GenericHardwareManager"
    }

    fn version(&self) -> &str {
        "1.2"
    }

    fn evaluate_hardware_support(&self) -> SupportLevel {
        SupportLevel::Generic
    }

    fn clean_steps(&self) -> Vec<Step> {
        vec![erase_metadata(99)]
    }

    fn deploy_steps(&self) -> Vec<Step> {
        vec![erase_metadata(0)]
    }

    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError> {
        match step {
            ERASE_METADATA => {
                let proofs = wipe::erase_devices_metadata(&self.machine, context.node, context.observer)?;
                Ok(json!({ "proofs": proofs }))
            }
            _ => Err(StepError::Unsupported { manager: self.name().to_owned(), step: step.to_owned() }),
        }
    }
}
