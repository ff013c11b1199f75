//! Who is asked for what (IPA contract §4.2, §4.3).

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tacit_model::Step;

use super::error::StepError;
use super::manager::{HardwareManager, StepContext, SupportLevel};

/// The managers that support this machine, the best one first.
#[derive(Clone)]
pub struct Managers {
    loaded: Vec<(SupportLevel, Arc<dyn HardwareManager>)>,
}

impl Managers {
    /// Asks every manager once how well it knows the machine and drops those that do not. Among equals the given
    /// order stays.
    pub fn new(managers: Vec<Arc<dyn HardwareManager>>) -> Self {
        let mut loaded: Vec<_> = managers
            .into_iter()
            .map(|manager| (manager.evaluate_hardware_support(), manager))
            .filter(|(level, _)| *level > SupportLevel::None)
            .collect();
        loaded.sort_by_key(|(level, _)| std::cmp::Reverse(*level));
        Self { loaded }
    }

    /// Clean steps by class name, each step at one manager only.
    pub fn clean_steps(&self) -> BTreeMap<String, Vec<Step>> {
        self.steps(|manager| manager.clean_steps())
    }

    /// Deploy steps by class name, each step at one manager only.
    pub fn deploy_steps(&self) -> BTreeMap<String, Vec<Step>> {
        self.steps(|manager| manager.deploy_steps())
    }

    /// Service steps by class name, each step at one manager only.
    pub fn service_steps(&self) -> BTreeMap<String, Vec<Step>> {
        self.steps(|manager| manager.service_steps())
    }

    /// Version of each manager by name: what a conductor echoes, and a mismatch of which ends a cleaning.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.loaded
            .iter()
            .map(|(_, manager)| (manager.name().to_owned(), manager.version().to_owned()))
            .collect()
    }

    /// Runs a step at the best manager that has it.
    ///
    /// # Errors
    ///
    /// [`StepError::NoManager`] when nobody has it, else what the manager returned.
    pub fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError> {
        for (_, manager) in &self.loaded {
            match manager.run_step(step, context) {
                Err(StepError::Unsupported { .. }) => {}
                outcome => return outcome,
            }
        }
        Err(StepError::NoManager { step: step.to_owned() })
    }

    fn steps(&self, offered: impl Fn(&dyn HardwareManager) -> Vec<Step>) -> BTreeMap<String, Vec<Step>> {
        type Offer<'a> = (SupportLevel, i32, std::cmp::Reverse<&'a str>);
        let all: Vec<(Offer<'_>, Step)> = self
            .loaded
            .iter()
            .flat_map(|(level, manager)| {
                offered(manager.as_ref())
                    .into_iter()
                    .map(|step| ((*level, step.priority, std::cmp::Reverse(manager.class())), step))
            })
            .collect();
        let mut best: BTreeMap<&str, &Offer<'_>> = BTreeMap::new();
        for (offer, step) in &all {
            let held = best.entry(&step.step).or_insert(offer);
            if offer > *held {
                *held = offer;
            }
        }
        let mut by_class: BTreeMap<String, Vec<Step>> =
            self.loaded.iter().map(|(_, manager)| (manager.class().to_owned(), Vec::new())).collect();
        for (offer, step) in &all {
            let wins = best.get(step.step.as_str()) == Some(&offer);
            if let (true, Some(list)) = (wins, by_class.get_mut(offer.2.0))
                && !list.iter().any(|known| known.step == step.step)
            {
                list.push(step.clone());
            }
        }
        by_class
    }
}
