use serde_json::{Map, Value};
use tacit_model::{ProgressUnit, Step};

use super::error::StepError;

/// How well a manager knows the hardware at hand (IPA contract §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SupportLevel {
    /// Not for this machine.
    None = 0,
    /// Works on anything.
    Generic = 1,
    /// Knows this kind of hardware.
    Mainline = 2,
    /// Made for this very fleet.
    ServiceProvider = 3,
}

/// What a step is run with.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// The node as the conductor sent it.
    pub node: &'a Value,
    pub ports: &'a Value,
    pub args: &'a Map<String, Value>,
    pub observer: &'a dyn StepObserver,
}

impl StepContext<'_> {
    /// Whether only the plan is wanted.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`] when `dry_run` is no boolean: what was meant to be tried must not be done.
    pub fn dry_run(&self) -> Result<bool, StepError> {
        match self.args.get("dry_run") {
            None | Some(Value::Null) => Ok(false),
            Some(Value::Bool(wanted)) => Ok(*wanted),
            Some(other) => Err(StepError::InvalidParameter {
                parameter: "dry_run".to_owned(),
                problem: format!("must be true or false, not {other}"),
            }),
        }
    }
}

/// Hears how far a step is and says whether it should stop.
pub trait StepObserver: Sync {
    /// `done` of `total`, both counted in `unit`.
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, unit: ProgressUnit);

    /// Asked between devices; a step that hears `true` stops before the next one.
    fn cancelled(&self) -> bool;
}

/// Knows a kind of hardware and offers steps for it.
pub trait HardwareManager: Send + Sync {
    /// `HARDWARE_MANAGER_NAME` of IPA, the key in version reports.
    fn name(&self) -> &str;

    /// Class name, the key in lists of steps.
    fn class(&self) -> &str;

    fn version(&self) -> &str;

    /// Asked once, when the manager is loaded.
    fn evaluate_hardware_support(&self) -> SupportLevel;

    fn clean_steps(&self) -> Vec<Step>;

    fn deploy_steps(&self) -> Vec<Step>;

    fn service_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    /// Runs a step to its end.
    ///
    /// # Errors
    ///
    /// [`StepError::Unsupported`] hands the step on to the next manager; anything else is the step's outcome.
    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError>;
}
