//! The step `erase_devices_metadata` over all disks of a machine.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};
use tacit_model::{DevicePlan, PlanVerdict, ProgressUnit, Proof, ProofResult};

use super::census::{Census, Subject};
use super::erase::{EraseError, execute, proof};
use super::forbidden::guards_shared;
use super::kept::with_remarks;
use super::lanes;
use super::stack::{BlockGraph, Kernel, RunningKernel, held, release};
use crate::chain::chain;
use crate::machine::Machine;
use crate::managers::{DRY_RUN, DeviceFailure, StepContext, StepError, StepObserver, StepSpecification};

pub(crate) const STEPS: &[StepSpecification] = &[StepSpecification {
    name: "erase_devices_metadata",
    interface: "deploy",
    clean: Some(99),
    deploy: Some(0),
    service: None,
    abortable: true,
    arguments: &[DRY_RUN],
    run,
}];

fn run(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let dry_run = context.dry_run()?;
    let guarded = guards_shared(context.node);
    machine.check_disk_list().map_err(|error| StepError::unlisted(&error))?;
    let mut census = Census::take(machine, context.node, context.observer)?;
    if dry_run {
        if guarded {
            census.guard_shared();
        }
        census.subjects.sort_by(|a, b| a.disk.name.cmp(&b.disk.name));
        let plans: Vec<DevicePlan> = census.subjects.iter().map(Subject::device_plan).collect();
        return Ok(with_remarks(machine, context.node, json!({ "plan": plans })));
    }
    if let Some(error) = census.protected().filter(|_| guarded) {
        return Err(error);
    }
    let kernel = RunningKernel::new(machine.roots());
    let proofs = Wipe::new(machine, &kernel, context.observer, &census).all()?;
    Ok(with_remarks(machine, context.node, result(&proofs)))
}

/// Proofs, how many disks there are, of each of which one is there, and those that were left alone, with why: nobody has
/// to look for them among the proofs.
pub(crate) fn result(proofs: &[Proof]) -> Value {
    let mut result = json!({ "proofs": proofs, "disks": proofs.len() });
    for proof in proofs.iter().filter(|proof| proof.result == ProofResult::Skipped) {
        let reason = proof.actions.join("; ");
        tracing::warn!(device = %proof.device, %reason, "not erased");
        result["skipped"][&proof.device] = reason.into();
    }
    result
}

/// What became of one disk.
enum Outcome {
    Done(Box<Proof>),
    Failed(String),
    /// The caller asked to stop: what the disk is left as.
    Stopped(&'static str),
}

struct Wipe<'a> {
    machine: &'a Machine,
    kernel: &'a dyn Kernel,
    observer: &'a dyn StepObserver,
    census: &'a Census,
    /// Whether anything may have been changed.
    touched: AtomicBool,
}

impl<'a> Wipe<'a> {
    fn new(
        machine: &'a Machine,
        kernel: &'a dyn Kernel,
        observer: &'a dyn StepObserver,
        census: &'a Census,
    ) -> Self {
        Self { machine, kernel, observer, census, touched: AtomicBool::new(false) }
    }

    /// Wipes what is built of disks, from the top down, then the disks themselves, several at a time.
    ///
    /// # Errors
    ///
    /// [`StepError::Erase`] names every disk that failed, after all were tried.
    fn all(&self) -> Result<Vec<Proof>, StepError> {
        let erased = self.census.erased();
        let may_stop = |name: &str| erased.contains(name);
        let (built, ground): (Vec<&Subject>, Vec<&Subject>) =
            self.census.subjects.iter().partition(|subject| subject.is_built);
        // The content of an array goes first: stopped, and made again with the same members, it would be there.
        let mut outcomes: Vec<(&Subject, Outcome)> =
            built.into_iter().map(|subject| (subject, self.free_and_wipe(subject, &may_stop))).collect();
        // What stands on several disks is stopped once, before any of them is written to.
        let freed: Vec<(&Subject, Result<Vec<String>, String>)> =
            ground.into_iter().map(|subject| (subject, self.free(subject, &may_stop))).collect();
        let wiped = lanes::each(&freed, |(subject, freed)| match freed {
            Ok(actions) => self.wipe(subject, actions),
            Err(reason) => Outcome::Failed(reason.clone()),
        });
        outcomes.extend(freed.iter().map(|(subject, _)| *subject).zip(wiped));
        self.result(outcomes)
    }

    fn result(&self, mut outcomes: Vec<(&Subject, Outcome)>) -> Result<Vec<Proof>, StepError> {
        outcomes.sort_by(|(a, _), (b, _)| a.disk.name.cmp(&b.disk.name));
        let total = outcomes.len();
        let (mut proofs, mut failures, mut states) = (Vec::new(), Vec::new(), Vec::new());
        for (subject, outcome) in outcomes {
            let device = subject.disk.name.clone();
            match outcome {
                Outcome::Done(proof) => proofs.push(*proof),
                Outcome::Failed(reason) => {
                    proofs.push(proof(&subject.disk).failed(&reason));
                    failures.push(DeviceFailure { device, reason });
                }
                Outcome::Stopped(state) => {
                    proofs.push(proof(&subject.disk).failed(state));
                    states.push(DeviceFailure { device, reason: state.to_owned() });
                }
            }
        }
        let touched = self.touched.load(Ordering::Relaxed);
        if !states.is_empty() && !touched {
            return Err(StepError::Cancelled { done: 0, total });
        }
        if !states.is_empty() {
            states.extend(failures);
            return Err(StepError::Halted { states, proofs, touched });
        }
        if failures.is_empty() {
            return Ok(proofs);
        }
        Err(StepError::Erase { failures, proofs, touched })
    }

    fn free_and_wipe(&self, subject: &Subject, may_stop: &dyn Fn(&str) -> bool) -> Outcome {
        match self.free(subject, may_stop) {
            Ok(actions) => self.wipe(subject, &actions),
            Err(reason) => Outcome::Failed(reason),
        }
    }

    /// Takes down what stands on a disk that is to be wiped; what was done.
    fn free(&self, subject: &Subject, may_stop: &dyn Fn(&str) -> bool) -> Result<Vec<String>, String> {
        if subject.verdict() != PlanVerdict::Erase || self.observer.cancelled() {
            return Ok(Vec::new());
        }
        self.census.still_holds(self.machine, subject)?;
        let freed = release(self.machine.roots(), self.kernel, &subject.disk.name, may_stop);
        // An array that was stopped half-way down a stack has written to its members.
        if freed.as_ref().map_or_else(|error| !error.is_obstacle(), |freed| !freed.is_empty()) {
            self.touched.store(true, Ordering::Relaxed);
        }
        freed.map_err(|error| chain(&error))
    }

    fn wipe(&self, subject: &Subject, freed: &[String]) -> Outcome {
        let disk = &subject.disk;
        let plan = match (subject.verdict(), &subject.plan) {
            (PlanVerdict::Skip, _) => {
                return Outcome::Done(Box::new(proof(disk).skipped(&[subject.reason()])));
            }
            (PlanVerdict::Refuse, _) | (_, None) => return Outcome::Failed(subject.reason()),
            (PlanVerdict::Erase, Some(plan)) => plan,
        };
        if self.observer.cancelled() {
            return Outcome::Stopped("nothing on it was changed");
        }
        let report = |done, total| {
            self.observer.progress("wipe", &disk.name, done, total, ProgressUnit::Regions);
            if self.observer.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let total = plan.regions.len() as u64;
        self.observer.progress("wipe", &disk.name, 0, total, ProgressUnit::Regions);
        self.touched.store(true, Ordering::Relaxed);
        let still_holds = || self.census.still_holds(self.machine, subject);
        match execute(&subject.path, disk, plan, &still_holds, report) {
            Ok(mut proof) => {
                proof.actions.splice(0..0, freed.iter().cloned());
                // Somebody may have built something in the meantime.
                match held(&BlockGraph::read(self.machine.roots()), &disk.name).last() {
                    Some(holder) => return Outcome::Failed(format!("{holder} is built upon it again")),
                    None => {
                        proof.verification.push("the kernel shows nothing that is built upon it".to_owned())
                    }
                }
                Outcome::Done(Box::new(proof))
            }
            Err(EraseError::Stopped { .. }) => {
                Outcome::Stopped("some of its partitions are wiped, its table is still there")
            }
            Err(error) => Outcome::Failed(chain(&error)),
        }
    }
}
