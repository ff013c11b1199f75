use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tacit_model::{ProgressUnit, Proof, Step};

use super::devices::{DeviceAnswer, DeviceKind, InventoryPart};
use super::error::StepError;
use super::remote::RemoteFile;

/// How well a manager knows the hardware at hand (IPA contract §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SupportLevel {
    /// Not for this machine.
    None,
    /// Works on anything.
    Generic,
    /// Knows this kind of hardware.
    Mainline,
    /// Made for this very fleet.
    ServiceProvider,
    /// Above all that IPA names; 4 and more.
    Beyond(u32),
}

impl From<u32> for SupportLevel {
    fn from(number: u32) -> Self {
        match number {
            0 => Self::None,
            1 => Self::Generic,
            2 => Self::Mainline,
            3 => Self::ServiceProvider,
            more => Self::Beyond(more),
        }
    }
}

/// What steps are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepFamily {
    Clean,
    Deploy,
    Service,
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

    /// For steps that cannot only plan: whoever asks for a plan must not get the deed.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`] when `dry_run` is set, or is no boolean.
    pub fn refuse_dry_run(&self, step: &str) -> Result<(), StepError> {
        if self.dry_run()? {
            let problem = format!("{step} cannot be tried without being done; nothing was done");
            return Err(StepError::InvalidParameter { parameter: "dry_run".to_owned(), problem });
        }
        Ok(())
    }
}

/// What a step needs of whoever runs it: it hears how far the step is, says whether it should stop, keeps the journal and
/// brings files.
pub trait StepObserver: Sync {
    /// `done` of `total`, both counted in `unit`.
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, unit: ProgressUnit);

    /// Asked between devices; a step that hears `true` stops before the next one.
    fn cancelled(&self) -> bool;

    /// Told before a step that may change what is on disks begins with it. Whoever keeps a journal has written it there
    /// when this returns.
    ///
    /// # Errors
    ///
    /// When it cannot be written down: nothing may be changed then.
    fn about_to_write(&self) -> Result<(), StepError> {
        Ok(())
    }

    /// Told what became of a device as soon as that is known, by steps that take long: the step may not live to return
    /// it.
    fn device_done(&self, _proof: &Proof) {}

    /// The disk that an image was written to since the agent began, named as in
    /// [`Machine::disks`](crate::Machine::disks).
    fn deployed_disk(&self) -> Option<String> {
        None
    }

    /// Brings what is behind a URL; the step checks that it is what it should be.
    ///
    /// # Errors
    ///
    /// By what helps; [`StepError::InvalidParameter`] from those who fetch nothing.
    fn fetch(&self, wanted: &RemoteFile<'_>) -> Result<Vec<u8>, StepError> {
        Err(StepError::InvalidParameter {
            parameter: wanted.url.to_owned(),
            problem: "nobody here fetches URLs".to_owned(),
        })
    }
}

/// Knows a kind of hardware and offers steps for it.
///
/// Of the methods that return [`StepError::Unsupported`] by default, the best manager that has one is asked.
pub trait HardwareManager: Send + Sync {
    /// `HARDWARE_MANAGER_NAME` of IPA, the key in version reports.
    fn name(&self) -> &str;

    /// Class name, the key in lists of steps.
    fn class(&self) -> &str;

    fn version(&self) -> &str;

    /// Asked once, when the manager is loaded. The machine's lists of devices are not to be asked for here: what is in
    /// them depends on the managers that are loaded.
    fn evaluate_hardware_support(&self) -> SupportLevel;

    /// Called once for each loaded manager, the best one first, before anything else is asked of any.
    ///
    /// # Errors
    ///
    /// Whatever keeps the manager from working: no steps are run without it then.
    fn initialize(&self) -> Result<(), StepError> {
        Ok(())
    }

    /// Whether it is part of the agent: only such managers may erase without being named by the node.
    fn is_built_in(&self) -> bool {
        true
    }

    fn clean_steps(&self) -> Vec<Step>;

    fn deploy_steps(&self) -> Vec<Step>;

    fn service_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    /// The steps of one family for a node.
    ///
    /// # Errors
    ///
    /// Any error ends the listing as a whole: steps that are silently missing would not be run.
    fn steps(&self, family: StepFamily, node: &Value, ports: &Value) -> Result<Vec<Step>, StepError> {
        let _ = (node, ports);
        Ok(match family {
            StepFamily::Clean => self.clean_steps(),
            StepFamily::Deploy => self.deploy_steps(),
            StepFamily::Service => self.service_steps(),
        })
    }

    /// Runs a step to its end.
    ///
    /// # Errors
    ///
    /// [`StepError::Unsupported`] hands the step on to the next manager; anything else is the step's outcome.
    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError>;

    /// IPA's `filter_device` for all devices of a kind at once: one answer for each, in their order.
    ///
    /// # Errors
    ///
    /// [`StepError::Unsupported`] passes all on to the next manager; after anything else no device of the kind is
    /// shown to anybody.
    fn filter_devices(&self, kind: DeviceKind, devices: &[Value]) -> Result<Vec<DeviceAnswer>, StepError> {
        let _ = devices;
        Err(unsupported(self.name(), kind.filter_method()))
    }

    /// A part of the inventory that this manager knows better than what was `found`.
    ///
    /// # Errors
    ///
    /// [`StepError::Unsupported`] hands on to the next manager.
    fn inventory_part(&self, part: InventoryPart, found: &Value) -> Result<Value, StepError> {
        let _ = found;
        Err(unsupported(self.name(), part.method()))
    }

    /// Makes the adapters' firmware leave LLDP frames to the operating system; to be called before frames are
    /// captured.
    ///
    /// # Errors
    ///
    /// [`StepError::Unsupported`] where there is nothing to stop.
    fn stop_firmware_lldp(&self) -> Result<(), StepError> {
        Err(unsupported(self.name(), "stop_firmware_lldp"))
    }
}

pub(super) fn unsupported(manager: &str, method: &str) -> StepError {
    StepError::Unsupported { manager: manager.to_owned(), step: method.to_owned() }
}
