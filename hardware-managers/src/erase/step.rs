//! The steps: all devices of a machine, from the arguments to the proofs.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use tacit_model::{PlanVerdict, ProgressUnit, Proof};

use super::execute::begin;
use super::fleet::{self, Lane, Outcome};
use super::policy::{Choice, Policy};
use super::pstore;
use super::source::{DriveSource, MachineDrives};
use super::survey::{Survey, Surveyed, list, probe};
use crate::machine::Machine;
use crate::managers::{
    Argument, DRY_RUN, DeviceFailure, StepContext, StepError, StepObserver, StepSpecification,
};
use crate::raid;
use crate::wipe;

pub(crate) const STEPS: &[StepSpecification] = &[
    StepSpecification {
        name: "erase_devices",
        interface: "deploy",
        clean: Some(10),
        deploy: None,
        service: None,
        abortable: true,
        arguments: &[
            Argument {
                name: "method",
                description: "auto (default, within the node's agent_* knobs), purge, clear, metadata, overwrite, \
                              or the name of a method as plans show it.",
                required: false,
            },
            Argument {
                name: "require",
                description: "What has to be reached at least, in the words of NIST SP 800-88r2: clear or purge.",
                required: false,
            },
            Argument {
                name: "verify",
                description: "How much of the last pass is read back: sample (default) or full.",
                required: false,
            },
            Argument {
                name: "bad_sectors",
                description: "What sectors that cannot be overwritten mean: fail (default) or accept, which \
                              lists them in the proof and claims no standard.",
                required: false,
            },
            Argument {
                name: "opal_psids",
                description: "PSIDs of TCG drives by serial number or WWN, in addition to driver_info.opal_psids.",
                required: false,
            },
            DRY_RUN,
        ],
        run: |machine, context| erase_devices(machine, context, false),
    },
    StepSpecification {
        name: "erase_devices_express",
        interface: "deploy",
        clean: Some(0),
        deploy: None,
        service: None,
        abortable: true,
        arguments: &[DRY_RUN],
        run: |machine, context| erase_devices(machine, context, true),
    },
    StepSpecification {
        name: "erase_pstore",
        interface: "deploy",
        clean: Some(0),
        deploy: None,
        service: None,
        abortable: true,
        arguments: &[DRY_RUN],
        run: pstore::run,
    },
];

fn erase_devices(machine: &Machine, context: &StepContext<'_>, express: bool) -> Result<Value, StepError> {
    let policy = Policy::read(context.node, context.args)?;
    raid::start_configured(machine, context.node);
    if express {
        return super::express::run(machine, context, &policy);
    }
    if policy.choice == Choice::Metadata {
        return wipe_metadata(machine, context);
    }
    let source: Arc<dyn DriveSource> = Arc::new(MachineDrives::new(machine));
    let survey = probe(&source, list(machine, context.observer)?, context, &policy)?;
    if context.dry_run()? {
        return Ok(wipe::with_remarks(machine, context.node, json!({ "plan": survey.plans() })));
    }
    let proofs = carry_out(&source, survey, &policy, context.observer).into_proofs()?;
    Ok(wipe::with_remarks(machine, context.node, result(&proofs)))
}

/// The step of the metadata wipe, with these arguments.
pub(super) fn wipe_metadata(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let step = wipe::STEPS.iter().find(|step| step.name == "erase_devices_metadata");
    (step.expect("the wipe offers this step").run)(machine, context)
}

/// What a wipe returns, and beside it what Ironic's agent returns: `null` by device.
pub(super) fn result(proofs: &[Proof]) -> Value {
    let mut result = wipe::result(proofs);
    for proof in proofs {
        result[&proof.device] = Value::Null;
    }
    result
}

/// What became of all devices.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Of all devices, in their order.
    pub(super) proofs: Vec<Proof>,
    /// Devices that failed, were refused or stopped, with why or in which state.
    pub(super) failures: Vec<DeviceFailure>,
    /// The caller asked to stop, and at least one device heard it.
    pub(super) stopped: bool,
    pub(super) touched: bool,
}

impl Carried {
    /// # Errors
    ///
    /// [`StepError::Erase`] names every device that failed or was refused, after all were tried;
    /// [`StepError::Halted`] says what state each is in when the caller asked to stop.
    pub(super) fn into_proofs(self) -> Result<Vec<Proof>, StepError> {
        if self.failures.is_empty() {
            return Ok(self.proofs);
        }
        Err(if self.stopped {
            StepError::Halted { states: self.failures, proofs: self.proofs, touched: self.touched }
        } else {
            StepError::Erase { failures: self.failures, proofs: self.proofs, touched: self.touched }
        })
    }
}

/// Does what the plans say, several devices at a time, and all of them whatever becomes of the others.
pub(super) fn carry_out(
    source: &Arc<dyn DriveSource>,
    survey: Survey,
    policy: &Policy,
    observer: &dyn StepObserver,
) -> Carried {
    let mut carried = Carried::default();
    let mut proofs: BTreeMap<usize, Proof> = BTreeMap::new();
    let mut failures: BTreeMap<usize, String> = BTreeMap::new();
    let mut lanes: BTreeMap<String, Lane> = BTreeMap::new();
    let names = survey.names();
    for (number, Surveyed { plan, job, lane }) in survey.0.into_iter().enumerate() {
        let device = plan.device;
        match plan.verdict {
            PlanVerdict::Skip => {
                proofs.insert(number, Proof::of(&job.disk).skipped(&plan.reasons));
            }
            PlanVerdict::Refuse => {
                let reason = format!("refused: {}", plan.reasons.join("; "));
                proofs.insert(number, begin(&job).failed(&reason));
                failures.insert(number, reason);
            }
            PlanVerdict::Erase => {
                // Whoever keeps a journal knows before the first byte is written.
                observer.progress("begin", &device, 0, 1, ProgressUnit::Regions);
                lanes.entry(lane).or_default().push((number, job));
            }
        }
    }
    for (number, outcome) in fleet::run(source, policy, lanes.into_values().collect(), observer) {
        match outcome {
            Outcome::Proven(proof) => {
                carried.touched = true;
                proofs.insert(number, *proof);
            }
            Outcome::Failed { proof, reason, touched } => {
                carried.touched |= touched;
                proofs.insert(number, *proof);
                failures.insert(number, reason);
            }
            Outcome::Stopped { proof, state, touched } => {
                carried.touched |= touched;
                proofs.insert(number, *proof);
                carried.stopped = true;
                failures.insert(number, state);
            }
        }
    }
    carried.proofs = proofs.into_values().collect();
    carried.failures = failures
        .into_iter()
        .map(|(number, reason)| DeviceFailure { device: names[number].clone(), reason })
        .collect();
    carried
}
