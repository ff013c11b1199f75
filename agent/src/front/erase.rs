use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use anyhow::Result;
use serde_json::{Value, json};
use tacit_hardware::{
    Machine, Managers, Roots, StepContext, StepError, StepFamily, StepObserver, end_strays,
};
use tacit_model::{BlockDevice, DevicePlan, PlanVerdict, ProgressUnit, Proof, ProofResult};

use super::progress::Display;
use super::question::{NoConsent, ask};
use super::{Ending, EraseArguments, interrupt, output, words};
use crate::agent::managers;

const STEP: &str = "erase_devices";

/// A plan is made without anybody watching.
struct Silent;

impl StepObserver for Silent {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }
}

/// Plans, asks, erases, and shows the proofs.
///
/// # Errors
///
/// When signals cannot be watched; all that concerns devices is an [`Ending`], whether it can be told or not.
pub(crate) fn erase(arguments: EraseArguments) -> Result<Ending> {
    let mut report = Report { json: arguments.json, document: json!({}), lost: false };
    let ending = run(&arguments, &mut report)?;
    // What nobody can show is not proven.
    Ok(if !report.print() && ending == Ending::Done { Ending::Failed } else { ending })
}

fn run(arguments: &EraseArguments, report: &mut Report) -> Result<Ending> {
    let machine = Machine::new(Roots::default(), Some(arguments.devices.clone()));
    if let Some(ending) = check_devices(arguments, &machine, report) {
        return Ok(ending);
    }
    let named = machine.disks();
    // Those from outside hide disks, and run nothing: they do not know which devices were named here.
    let managers = managers(&machine, Weak::new(), arguments.hardware_managers.clone());
    let (node, ports) = (arguments.node(), json!([]));
    if let Some(problem) = hidden(&managers, &node, &machine, &named) {
        return Ok(report.refused(&format!("{problem}; nothing was touched")));
    }
    let call = |dry_run: bool, observer: &dyn StepObserver| {
        let args = arguments.step_arguments(dry_run);
        let context = StepContext { node: &node, ports: &ports, args: &args, observer };
        managers.run_step(StepFamily::Clean, STEP, &context).map(|outcome| outcome.result)
    };
    let plans = match call(true, &Silent) {
        Ok(mut result) => serde_json::from_value::<Vec<DevicePlan>>(result["plan"].take())?,
        Err(error) => return Ok(report.error(&error)),
    };
    report.plans(&plans);
    if plans.iter().any(|plan| plan.verdict == PlanVerdict::Refuse) {
        return Ok(report.refused("nothing was touched, because not all devices may be erased"));
    }
    if arguments.dry_run {
        return Ok(Ending::Done);
    }
    let targets = plans.iter().filter(|plan| plan.verdict == PlanVerdict::Erase).count();
    if targets > 0 && !arguments.yes {
        let question = format!("Everything on {targets} device(s) will be lost.");
        match ask(&question) {
            Ok(()) => {}
            Err(NoConsent::Declined) => return Ok(report.refused("nothing was touched")),
            Err(NoConsent::NotAsked) => {
                return Ok(
                    report.refused("nothing was touched: there is no terminal to ask on, and no --yes")
                );
            }
        }
    }
    if let Err(error) = end_strays(None) {
        return Ok(report.refused(&error.to_string()));
    }
    let stop = interrupt::watch()?;
    let display = Display::new(Arc::clone(&stop));
    let outcome = call(false, &display);
    display.finish();
    match outcome {
        Ok(mut result) => {
            report.proofs(&serde_json::from_value::<Vec<Proof>>(result["proofs"].take())?);
            Ok(Ending::Done)
        }
        Err(error) => {
            let ending = report.error(&error);
            // A device that failed by itself while the others were stopped is told with them.
            Ok(if stop.load(Ordering::SeqCst) && ending == Ending::Failed {
                Ending::Cancelled
            } else {
                ending
            })
        }
    }
}

/// Every name must be a whole disk, and none may be named twice.
fn check_devices(arguments: &EraseArguments, machine: &Machine, report: &mut Report) -> Option<Ending> {
    let disks = machine.disks();
    for device in &arguments.devices {
        let path = match fs::canonicalize(device) {
            Ok(path) => path,
            Err(error) => {
                report.say(&format!("{}: {error}", device.display()));
                return Some(Ending::Usage);
            }
        };
        if !disks.iter().any(|disk| fs::canonicalize(&disk.name).is_ok_and(|known| known == path)) {
            let name = device.display();
            return Some(
                report.refused(&format!("{name} is no whole disk, or an empty one; nothing was touched")),
            );
        }
    }
    None
}

/// Why not all of these disks may be touched, as hardware managers say it that are programs of their own.
fn hidden(managers: &Managers, node: &Value, machine: &Machine, named: &[BlockDevice]) -> Option<String> {
    if let Err(error) = managers.ready(node) {
        return Some(error.details());
    }
    let shown = machine.disks();
    let hidden = named.iter().find(|disk| !shown.iter().any(|known| known.name == disk.name))?;
    Some(format!("a hardware manager hides {}, or cannot say whether it does", hidden.name))
}

/// What is said: text as it happens, or one document at the end.
struct Report {
    json: bool,
    document: Value,
    /// Whether some of it could not be written.
    lost: bool,
}

impl Report {
    fn text(&mut self, text: &str) {
        if !self.json {
            self.written(output::line(text));
        }
    }

    fn written(&mut self, written: Result<()>) {
        if let Err(error) = written {
            self.lost = true;
            output::note(&format!("{error:#}"));
        }
    }

    /// To people, whatever the output is.
    fn say(&mut self, text: &str) {
        self.document["message"] = text.into();
        output::note(text);
    }

    fn plans(&mut self, plans: &[DevicePlan]) {
        self.document["plan"] = json!(plans);
        plans.iter().for_each(|plan| self.text(&words::plan(plan)));
    }

    fn proofs(&mut self, proofs: &[Proof]) {
        self.document["proofs"] = json!(proofs);
        proofs.iter().for_each(|proof| self.text(&words::proof(proof)));
    }

    fn refused(&mut self, text: &str) -> Ending {
        self.say(text);
        Ending::Refused
    }

    fn error(&mut self, error: &StepError) -> Ending {
        self.document["error"] = json!({"class": error.class(), "details": error.details()});
        let (word, devices) = match error {
            StepError::Erase { failures, .. } => ("NOT ERASED", failures.as_slice()),
            StepError::Halted { states, .. } => ("STOPPED", states.as_slice()),
            _ => ("", [].as_slice()),
        };
        self.document["error"]["done"] = error.done().collect();
        self.document["proofs"] = json!(error.proofs());
        let list = devices.iter().map(|device| json!({"device": device.device, "state": device.reason}));
        self.document["error"]["devices"] = list.collect();
        let done = error.proofs().iter().filter(|proof| proof.result != ProofResult::Failed);
        done.for_each(|proof| self.text(&words::proof(proof)));
        for failure in devices {
            self.text(&format!("{}\n  {word}: {}", failure.device, failure.reason));
        }
        if devices.is_empty() {
            self.say(&error.details());
        }
        match error {
            StepError::InvalidParameter { .. } => Ending::Usage,
            StepError::Protected { .. } => Ending::Refused,
            StepError::Halted { .. } | StepError::Cancelled { .. } => Ending::Cancelled,
            _ => Ending::Failed,
        }
    }

    /// The document; whether all that was to be said is written.
    fn print(&mut self) -> bool {
        if self.json {
            self.written(output::document(&self.document));
        }
        !self.lost
    }
}
