//! The manager that works on any machine.

use serde_json::Value;
use tacit_model::Step;

use super::error::StepError;
use super::manager::{HardwareManager, StepContext, StepFamily, SupportLevel};
use super::specification::StepSpecification;
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

/// The steps of a family, as the table has them.
fn offers(family: StepFamily) -> Vec<Step> {
    let all = STEPS.into_iter().flatten();
    all.filter_map(|step| step.priority(family).map(|priority| step.offer(priority))).collect()
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
        offers(StepFamily::Clean)
    }

    fn deploy_steps(&self) -> Vec<Step> {
        offers(StepFamily::Deploy)
    }

    fn service_steps(&self) -> Vec<Step> {
        offers(StepFamily::Service)
    }

    /// The table, but for what depends on the machine and the node.
    fn steps(&self, family: StepFamily, node: &Value, _: &Value) -> Result<Vec<Step>, StepError> {
        let mut steps = offers(family);
        if !burnin::can_burn_gpus(&self.machine, node) {
            steps.retain(|step| step.step != burnin::GPU);
        }
        for step in steps.iter_mut().filter(|step| step.step == inject::INJECT_FILES) {
            step.priority = inject::priority(&self.machine)?;
        }
        Ok(steps)
    }

    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError> {
        let Some(known) = STEPS.into_iter().flatten().find(|known| known.name == step) else {
            return Err(StepError::Unsupported { manager: self.name().to_owned(), step: step.to_owned() });
        };
        if !known.is_destructive() {
            context.refuse_dry_run(step)?;
        } else if !context.dry_run()? {
            context.observer.about_to_write()?;
        }
        (known.run)(&self.machine, context)
    }
}
