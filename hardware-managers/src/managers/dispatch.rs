//! Who is asked for what (IPA contract §4.2).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use tacit_model::{DevicePlan, Step};

use super::complete::check_complete;
use super::error::StepError;
use super::loaded::{BrokenManager, Loader, node_names};
use super::manager::{HardwareManager, StepContext, StepFamily, unsupported};
use super::offers::{ERASE_STEPS, without_duplicates};
use crate::machine::Machine;

/// Key of the node's `driver_info` with names of managers that may be missing although they are in the ramdisk.
const IGNORED: &str = "agent_hardware_managers_ignored";

/// The managers that support this machine, the best one first. Clones share them.
#[derive(Clone)]
pub struct Managers {
    loader: Arc<Loader>,
}

/// A step that was run.
#[derive(Clone, Debug, PartialEq)]
pub struct StepOutcome {
    /// [`HardwareManager::name`] of the one whose step it was.
    pub manager: String,
    pub result: Value,
}

impl Managers {
    /// Every manager is asked once how well it knows the machine, by [`Self::load`] or when the first question comes;
    /// those that do not are dropped. Equals are ordered by class name.
    pub fn new(managers: Vec<Arc<dyn HardwareManager>>) -> Self {
        Self { loader: Arc::new(Loader::new(managers, None)) }
    }

    /// With the executables of a folder besides, which need not exist.
    pub fn with_external(managers: Vec<Arc<dyn HardwareManager>>, folder: PathBuf) -> Self {
        Self { loader: Arc::new(Loader::new(managers, Some(folder))) }
    }

    /// Asks them now, unless that was done: a program that is slow to begin may take a minute.
    pub fn load(&self) {
        self.loader.loaded();
    }

    /// From now on the machine's lists of devices and its inventory are what these managers make of them; the first
    /// managers that are told stay. Whoever has a clone of the machine sees the same.
    pub fn attach(&self, machine: &Machine) {
        machine.show_through(Arc::downgrade(&self.loader));
    }

    /// Steps of a family by class name, each step at one manager only (IPA contract §4.3).
    ///
    /// # Errors
    ///
    /// [`StepError::Failed`] when a manager is broken, unless the node's `driver_info` lists it in
    /// `agent_hardware_managers_ignored`; else whatever a manager says when it is asked for its steps.
    pub fn steps(
        &self,
        family: StepFamily,
        node: &Value,
        ports: &Value,
    ) -> Result<BTreeMap<String, Vec<Step>>, StepError> {
        self.ready(node)?;
        let loaded = &self.loader.loaded().managers;
        let offers = loaded
            .iter()
            .map(|(level, manager)| Ok((*level, manager.as_ref(), manager.steps(family, node, ports)?)))
            .collect::<Result<Vec<_>, StepError>>()?;
        Ok(without_duplicates(offers, node))
    }

    /// Version of each manager by name: what a conductor echoes, and a mismatch of which ends a cleaning.
    pub fn versions(&self) -> BTreeMap<String, String> {
        self.loader
            .managers()
            .map(|manager| (manager.name().to_owned(), manager.version().to_owned()))
            .collect()
    }

    /// What is wrong with the managers, or was with the lists of devices that they filter since somebody looked.
    pub fn problems(&self) -> Vec<String> {
        let broken = self.broken().iter().map(BrokenManager::to_string);
        broken.chain(self.loader.take_faults()).collect()
    }

    /// Managers that are in the ramdisk and do not work.
    pub fn broken(&self) -> &[BrokenManager] {
        &self.loader.loaded().broken
    }

    /// Runs a step at the manager that it is listed at in this family, and at no other. One that nobody lists there is
    /// run by the best built-in manager that has it: IPA's callers may name any.
    ///
    /// # Errors
    ///
    /// [`StepError::NoManager`] when nobody has it, [`StepError::Failed`] when a manager is broken,
    /// [`StepError::Erase`] when one from outside erased without a proof for each device, [`StepError::Unlisted`] when a
    /// filter of devices failed while the step ran, else what the manager returned or said of its steps.
    pub fn run_step(
        &self,
        family: StepFamily,
        step: &str,
        context: &StepContext<'_>,
    ) -> Result<StepOutcome, StepError> {
        let listed = self.steps(family, context.node, context.ports)?;
        let has_it = |steps: &Vec<Step>| steps.iter().any(|known| known.step == step);
        let class = listed.iter().find(|(_, steps)| has_it(steps)).map(|(class, _)| class);
        // Of an earlier look at the devices, which concerns nobody any more.
        self.loader.take_faults();
        let outcome = self.loader.first(step, |manager| {
            if !class.map_or(manager.is_built_in(), |class| manager.class() == class) {
                return Err(unsupported(manager.name(), step));
            }
            let replaces = !manager.is_built_in() && ERASE_STEPS.contains(&step) && !context.dry_run()?;
            let planned = replaces.then(|| self.own_plan(step, context)).transpose()?;
            let result = manager.run_step(step, context)?;
            if let Some(planned) = planned {
                check_complete(manager.name(), planned, &result)?;
            }
            Ok(StepOutcome { manager: manager.name().to_owned(), result })
        })?;
        match self.loader.take_faults().as_slice() {
            [] => Ok(outcome),
            faults => Err(StepError::Unlisted {
                step: step.to_owned(),
                faults: faults.join("; "),
                proofs: Vec::deserialize(&outcome.result["proofs"]).unwrap_or_default(),
                touched: !matches!(context.dry_run(), Ok(true)),
            }),
        }
    }

    /// What the agent's own step of this name would do: each device that there is, and whether it would be left alone.
    fn own_plan(&self, step: &str, context: &StepContext<'_>) -> Result<Vec<DevicePlan>, StepError> {
        let args = Map::from_iter([("dry_run".to_owned(), Value::Bool(true))]);
        let context = StepContext { args: &args, ..*context };
        let planned = self.loader.first(step, |manager| match manager.is_built_in() {
            true => manager.run_step(step, &context),
            false => Err(unsupported(manager.name(), step)),
        })?;
        Vec::deserialize(&planned["plan"])
            .map_err(|error| StepError::configuration(format!("{step}: which devices there are: {error}")))
    }

    /// IPA's `dispatch_to_managers`: the best manager that has the method.
    ///
    /// # Errors
    ///
    /// [`StepError::NoManager`] when nobody has it, else what the manager returned.
    pub fn first<T>(
        &self,
        method: &str,
        call: impl FnMut(&dyn HardwareManager) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        self.loader.first(method, call)
    }

    /// IPA's `dispatch_to_all_managers`: every manager that has the method, by class name.
    ///
    /// # Errors
    ///
    /// The first failure; [`StepError::NoManager`] when nobody has it.
    pub fn every<T>(
        &self,
        method: &str,
        mut call: impl FnMut(&dyn HardwareManager) -> Result<T, StepError>,
    ) -> Result<BTreeMap<String, T>, StepError> {
        let mut results = BTreeMap::new();
        for manager in self.loader.managers() {
            match call(manager) {
                Ok(result) => {
                    results.insert(manager.class().to_owned(), result);
                }
                Err(StepError::Unsupported { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        if results.is_empty() {
            return Err(StepError::NoManager { step: method.to_owned() });
        }
        Ok(results)
    }

    /// Makes the adapters' firmware leave LLDP frames to the agent, as far as that is possible.
    pub fn stop_firmware_lldp(&self) {
        for manager in self.loader.managers() {
            match manager.stop_firmware_lldp() {
                Ok(()) | Err(StepError::Unsupported { .. }) => {}
                Err(error) => tracing::warn!("hardware manager {}: {error}", manager.name()),
            }
        }
    }

    /// Whether all managers of the ramdisk work. Without one of them it is not known which steps it would have had and
    /// which devices it would have hidden, so that nothing is done to the machine.
    ///
    /// # Errors
    ///
    /// [`StepError::Failed`] with the name and the reason of each that does not, but for those that the node's
    /// `driver_info` lists in `agent_hardware_managers_ignored`.
    pub fn ready(&self, node: &Value) -> Result<(), StepError> {
        let broken: Vec<String> = self
            .broken()
            .iter()
            .filter(|broken| !node_names(node, IGNORED, &broken.name))
            .map(BrokenManager::to_string)
            .collect();
        if broken.is_empty() {
            return Ok(());
        }
        Err(StepError::configuration(broken.join("; ")))
    }
}
