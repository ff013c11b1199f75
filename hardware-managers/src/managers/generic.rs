//! The manager that works on any machine.

use serde_json::Value;
use tacit_model::Step;

use super::error::StepError;
use super::manager::{HardwareManager, StepContext, SupportLevel};
use super::specification::{DRY_RUN, StepSpecification};
use crate::machine::Machine;
use crate::{burnin, erase, health, inject, raid, wipe};

/// Default steps, in IPA's names and priorities (IPA contract §5.1).
#[derive(Clone, Debug)]
pub struct GenericHardwareManager {
    machine: Machine,
}

const STEPS: [&[StepSpecification]; 7] =
    [wipe::STEPS, erase::STEPS, raid::STEPS, burnin::STEPS, inject::STEPS, health::STEPS, crate::boot::STEPS];

impl GenericHardwareManager {
    pub fn new(machine: Machine) -> Self {
        Self { machine }
    }
}

fn offers(priority: fn(&StepSpecification) -> Option<i32>) -> Vec<Step> {
    let all = STEPS.into_iter().flatten();
    all.filter_map(|step| priority(step).map(|priority| step.offer(priority))).collect()
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
        offers(|step| step.clean)
    }

    fn deploy_steps(&self) -> Vec<Step> {
        offers(|step| step.deploy)
    }

    fn service_steps(&self) -> Vec<Step> {
        offers(|step| step.service)
    }

    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError> {
        match STEPS.into_iter().flatten().find(|known| known.name == step) {
            Some(known) => {
                if !known.arguments.iter().any(|argument| argument.name == DRY_RUN.name) {
                    context.refuse_dry_run(step)?;
                }
                (known.run)(&self.machine, context)
            }
            None => Err(StepError::Unsupported { manager: self.name().to_owned(), step: step.to_owned() }),
        }
    }
}
