//! Finding, asking, sorting and initialising managers, when they are needed for the first time.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde_json::Value;

use super::error::StepError;
use super::external;
use super::manager::{HardwareManager, SupportLevel};

/// A manager that is there and does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenManager {
    /// Its name, or that of its file where it did not tell one.
    pub name: String,
    pub reason: String,
}

impl std::fmt::Display for BrokenManager {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "hardware manager {} cannot be used: {}", self.name, self.reason)
    }
}

/// The managers that support the machine, and those of which that is not known.
#[derive(Default)]
pub(super) struct Loaded {
    /// The best one first; among equals in the given order.
    pub(super) managers: Vec<(SupportLevel, Arc<dyn HardwareManager>)>,
    pub(super) broken: Vec<BrokenManager>,
}

/// Managers, loaded when somebody asks for the first time: the drivers of all devices are there by then, and an agent
/// begins to answer before that.
#[derive(Default)]
pub(crate) struct Loader {
    candidates: Vec<Arc<dyn HardwareManager>>,
    folder: Option<PathBuf>,
    loaded: OnceLock<Loaded>,
    /// What went wrong with the filters since somebody looked.
    faults: Mutex<BTreeSet<String>>,
}

impl Loader {
    pub(super) fn new(candidates: Vec<Arc<dyn HardwareManager>>, folder: Option<PathBuf>) -> Self {
        Self { candidates, folder, ..Self::default() }
    }

    pub(super) fn loaded(&self) -> &Loaded {
        self.loaded.get_or_init(|| load(&self.candidates, self.folder.as_deref()))
    }

    /// The best one first.
    pub(super) fn managers(&self) -> impl Iterator<Item = &dyn HardwareManager> {
        self.loaded().managers.iter().map(|(_, manager)| manager.as_ref())
    }

    /// IPA's `dispatch_to_managers`: the first outcome that is not "not mine".
    pub(super) fn first<T>(
        &self,
        method: &str,
        mut call: impl FnMut(&dyn HardwareManager) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        for manager in self.managers() {
            match call(manager) {
                Err(StepError::Unsupported { .. }) => {}
                outcome => return outcome,
            }
        }
        Err(StepError::NoManager { step: method.to_owned() })
    }

    pub(crate) fn fault(&self, text: String) {
        tracing::error!("{text}");
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).insert(text);
    }

    pub(super) fn take_faults(&self) -> Vec<String> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *faults).into_iter().collect()
    }
}

fn load(candidates: &[Arc<dyn HardwareManager>], folder: Option<&std::path::Path>) -> Loaded {
    let mut loaded = Loaded::default();
    let mut found: Vec<(SupportLevel, Arc<dyn HardwareManager>)> =
        candidates.iter().map(|manager| (manager.evaluate_hardware_support(), manager.clone())).collect();
    if let Some(folder) = folder {
        let taken: Vec<&str> = candidates.iter().flat_map(|known| [known.name(), known.class()]).collect();
        let (external, broken) = external::load(folder, &taken);
        found.extend(external);
        loaded.broken = broken;
    }
    found.retain(|(level, _)| *level > SupportLevel::None);
    // Among equals by class name, as with steps of the same priority.
    found.sort_by(|(a_level, a), (b_level, b)| b_level.cmp(a_level).then_with(|| a.class().cmp(b.class())));
    for (level, manager) in found {
        match manager.initialize() {
            Ok(()) => {
                tracing::info!("hardware manager {} {}: {level:?}", manager.name(), manager.version());
                loaded.managers.push((level, manager));
            }
            Err(error) => {
                let name = manager.name().to_owned();
                loaded.broken.push(BrokenManager { name, reason: format!("initialize: {error}") });
            }
        }
    }
    for broken in &loaded.broken {
        tracing::error!("{broken}");
    }
    loaded
}

/// Whether a list of names at `driver_info.<key>` of the node has this one.
pub(super) fn node_names(node: &Value, key: &str, name: &str) -> bool {
    node["driver_info"][key]
        .as_array()
        .is_some_and(|names| names.iter().any(|listed| listed.as_str() == Some(name)))
}
