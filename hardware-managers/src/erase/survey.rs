//! All devices of a machine with their plans, before any of them is touched.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tacit_blockdev::Access;
use tacit_model::{BlockDevice, DevicePlan, PlanVerdict};

use super::execute::Job;
use super::findings::Findings;
use super::plan::{Decision, plan};
use super::policy::Policy;
use super::recheck::{Scope, asked};
use super::source::DriveSource;
use crate::ask::{SILENCE, ask_all};
use crate::chain::chain;
use crate::drives::DriveFacts;
use crate::machine::Machine;
use crate::managers::{StepContext, StepError, StepObserver};
use crate::wipe::{KeptArray, SkipList, same_unit};

/// One device with its plan.
pub(crate) struct Surveyed {
    pub(crate) plan: DevicePlan,
    pub(crate) job: Job,
    pub(super) lane: String,
}

/// All devices, in the order of their names.
pub(crate) struct Survey(pub(crate) Vec<Surveyed>);

impl Survey {
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(|device| device.plan.device.clone()).collect()
    }

    /// Those that are to be erased, and the names of all others.
    pub(super) fn split_erasable(self) -> (Self, Vec<String>) {
        let (own, others): (Vec<_>, Vec<_>) =
            self.0.into_iter().partition(|device| device.plan.verdict == PlanVerdict::Erase);
        (Self(own), Self(others).names())
    }

    pub(super) fn plans(&self) -> Vec<&DevicePlan> {
        self.0.iter().map(|device| &device.plan).collect()
    }
}

/// A device that is being thought about.
struct Candidate {
    disk: BlockDevice,
    facts: DriveFacts,
    findings: Findings,
    decision: Decision,
    /// Later ones that seem to be the same device.
    aliases: Vec<BlockDevice>,
}

/// All disks, with those that report no size, as drives do that have failed. One that does not answer keeps the kernel for
/// an hour, and whoever reads of it with it: they are listed in a thread that is not waited for for ever.
///
/// # Errors
///
/// [`StepError::unlisted`], [`StepError::Cancelled`].
pub(crate) fn list(machine: &Machine, observer: &dyn StepObserver) -> Result<Vec<BlockDevice>, StepError> {
    list_within(machine, observer, SILENCE)
}

fn list_within(
    machine: &Machine,
    observer: &dyn StepObserver,
    silence: Duration,
) -> Result<Vec<BlockDevice>, StepError> {
    machine.check_disk_list().map_err(|error| StepError::unlisted(&error))?;
    let look = |machine: &Machine| {
        let mut disks = machine.disks();
        disks.extend(machine.disks_without_size());
        disks
    };
    ask_all(std::slice::from_ref(machine), silence, &|| observer.cancelled(), look)
        .ok_or(StepError::Cancelled { done: 0, total: 0 })?
        .remove(0)
        .map_err(|problem| StepError::unlisted(&io::Error::other(problem)))
}

/// Asks every device and plans for it. Reads only.
///
/// # Errors
///
/// [`StepError::InvalidParameter`] for a skip list that is not understood, [`StepError::Protected`] when any device
/// holds a file system that other machines may use: then none is touched.
pub(crate) fn probe(
    source: &Arc<dyn DriveSource>,
    disks: Vec<BlockDevice>,
    context: &StepContext<'_>,
    policy: &Policy,
) -> Result<Survey, StepError> {
    let skip = SkipList::from_node(context.node).map_err(|error| StepError::InvalidParameter {
        parameter: "properties.skip_block_devices".to_owned(),
        problem: error.to_string(),
    })?;
    let dry_run = context.dry_run()?;
    let erased = disks.iter().filter(|disk| !skip.matches(disk)).map(|disk| disk.name.clone()).collect();
    let scope = Arc::new(Scope { skip, erased, disks: disks.clone() });
    let mut answers = ask_every(source, &disks, &scope, context.observer)?;
    doubt_names(&mut answers);
    let mut candidates = Vec::with_capacity(disks.len());
    for (disk, (findings, facts)) in disks.into_iter().zip(answers) {
        let decision = plan(&disk, &facts, policy, &findings);
        if let (Some(content), PlanVerdict::Refuse, false) =
            (&findings.shared, decision.plan.verdict, dry_run)
        {
            return Err(StepError::Protected { device: disk.name, content: content.clone() });
        }
        candidates.push(Candidate { disk, facts, findings, decision, aliases: Vec::new() });
    }
    unite(&mut candidates);
    tell_of_arrays_that_stay(&mut candidates);
    while spare_companions(&mut candidates, policy) {}
    let surveyed = candidates.into_iter().map(|candidate| Surveyed {
        plan: candidate.decision.plan,
        lane: candidate.findings.lane,
        job: Job {
            disk: candidate.disk,
            facts: candidate.facts,
            methods: candidate.decision.methods,
            companions: candidate.findings.companions,
            aliases: candidate.aliases,
            scope: scope.clone(),
        },
    });
    Ok(Survey(surveyed.collect()))
}

/// What guards and drive say, of one device.
type Asked = (Findings, DriveFacts);

/// Asks all devices at the same time.
///
/// # Errors
///
/// [`StepError::Cancelled`].
fn ask_every(
    source: &Arc<dyn DriveSource>,
    disks: &[BlockDevice],
    scope: &Arc<Scope>,
    observer: &dyn StepObserver,
) -> Result<Vec<Asked>, StepError> {
    let (source, scope) = (source.clone(), scope.clone());
    let answers =
        ask_all(disks, SILENCE, &|| observer.cancelled(), move |disk| ask(source.as_ref(), disk, &scope))
            .ok_or(StepError::Cancelled { done: 0, total: disks.len() })?;
    let missing = |problem| (Findings::not_asked(problem), DriveFacts::default());
    Ok(answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect())
}

fn ask(source: &dyn DriveSource, disk: &BlockDevice, scope: &Scope) -> Asked {
    let mut findings = source.findings(disk, scope);
    if findings.skip_listed {
        // Left alone means left alone.
        return (findings, DriveFacts::default());
    }
    let mut facts = match source.open(disk, Access::Read) {
        Ok(drive) => asked(source, drive.as_ref(), disk),
        Err(error) => {
            findings.unreadable.get_or_insert(chain(&error));
            DriveFacts { kind: source.kind(disk), ..DriveFacts::default() }
        }
    };
    let seen = |number| findings.companions.iter().any(|companion| companion.namespace == Some(number));
    facts.unseen_namespaces.retain(|number| !seen(*number));
    (findings, facts)
}

/// An array is kept by its name, which anybody can have written into a superblock. Where several arrays have it, nobody
/// can tell which of them is meant: none is erased, and none is passed over.
fn doubt_names(answers: &mut [Asked]) {
    let kept: Vec<KeptArray> =
        answers.iter().filter_map(|(findings, _)| findings.kept_volume.clone()).collect();
    for (findings, _) in answers {
        let another =
            |own: &KeptArray| kept.iter().any(|array| array.entry == own.entry && array.uuid != own.uuid);
        if let Some(own) = findings.kept_volume.take_if(|own| another(own)) {
            findings.held.push(format!(
                "a part of one of several arrays that are called {}, which skip_block_devices names: which of them \
                 is meant is not known",
                own.entry
            ));
        }
    }
}

/// A disk is passed over for an array that is erased. When that one is passed over itself, nobody is to believe so.
fn tell_of_arrays_that_stay(candidates: &mut [Candidate]) {
    let skipped = |plan: &DevicePlan| plan.verdict == PlanVerdict::Skip;
    let staying: BTreeMap<String, String> = candidates
        .iter()
        .filter(|candidate| skipped(&candidate.decision.plan))
        .map(|candidate| (candidate.disk.name.clone(), candidate.decision.plan.reasons.join("; ")))
        .collect();
    for candidate in candidates.iter_mut().filter(|candidate| skipped(&candidate.decision.plan)) {
        let array = candidate.findings.member_of.as_ref();
        if let Some((array, reason)) = array.and_then(|array| staying.get_key_value(array)) {
            candidate.decision.plan.reasons =
                vec![format!("part of {array}, which stays as it is: {reason}")];
        }
    }
}

/// A disk that is reached by several paths has several names. What keeps it out by one of them keeps it out by all; else
/// it is erased by the first, and the others wait for that.
fn unite(candidates: &mut [Candidate]) {
    let mut units: Vec<Vec<usize>> = Vec::new();
    for (at, candidate) in candidates.iter().enumerate() {
        match units.iter_mut().find(|unit| same_unit(&candidates[unit[0]].disk, &candidate.disk)) {
            Some(unit) => unit.push(at),
            None => units.push(vec![at]),
        }
    }
    for unit in units.into_iter().filter(|unit| unit.len() > 1) {
        let by = |wanted| unit.iter().find(|at| candidates[**at].decision.plan.verdict == wanted);
        if let Some(&keeper) = by(PlanVerdict::Refuse).or(by(PlanVerdict::Skip)) {
            let DevicePlan { device, verdict, reasons, .. } = candidates[keeper].decision.plan.clone();
            let reason = format!("the same device as {device}: {}", reasons.join("; "));
            for at in unit {
                let decision = &mut candidates[at].decision;
                if decision.plan.verdict == PlanVerdict::Erase {
                    (decision.plan.verdict, decision.plan.reasons) = (verdict, vec![reason.clone()]);
                    decision.plan.methods.clear();
                    decision.methods.clear();
                }
            }
            continue;
        }
        let (first, others) = (unit[0], &unit[1..]);
        let (name, lane) = (candidates[first].disk.name.clone(), candidates[first].findings.lane.clone());
        candidates[first].aliases = others.iter().map(|at| candidates[*at].disk.clone()).collect();
        for &at in others {
            candidates[at].findings.lane.clone_from(&lane);
            let remark = format!(
                "the same device as {name}, by its names: when its marks show that it is, that counts"
            );
            candidates[at].decision.plan.reasons.insert(0, remark);
        }
    }
}

/// What is refused or skipped must not be emptied by a command for another namespace of the same drive: plans that
/// counted on it are made anew. Whether there were any; then others may follow from that.
fn spare_companions(candidates: &mut [Candidate], policy: &Policy) -> bool {
    let kept: BTreeSet<String> = candidates
        .iter()
        .filter(|candidate| candidate.decision.plan.verdict != PlanVerdict::Erase)
        .map(|candidate| candidate.disk.name.clone())
        .collect();
    let mut changed = false;
    for candidate in candidates.iter_mut().filter(|candidate| !kept.contains(&candidate.disk.name)) {
        let findings = &mut candidate.findings;
        let spared: Vec<String> = findings
            .companions
            .iter()
            .map(|companion| &companion.name)
            .filter(|name| kept.contains(*name) && !findings.siblings.contains(*name))
            .cloned()
            .collect();
        if !spared.is_empty() {
            findings.siblings.extend(spared);
            candidate.decision = plan(&candidate.disk, &candidate.facts, policy, &candidate.findings);
            changed = true;
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::process::Command;

    use tacit_model::ProgressUnit;

    use super::*;
    use crate::machine::Roots;

    struct Patient;

    impl StepObserver for Patient {
        fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

        fn cancelled(&self) -> bool {
            false
        }
    }

    #[test]
    fn a_disk_that_keeps_the_kernel_does_not_keep_the_step() {
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join("sys/block/vda");
        fs::create_dir_all(&folder).unwrap();
        let machine = Machine::new(Roots::below(tree.path()), None);
        fs::write(folder.join("size"), "2048").unwrap();
        assert_eq!(list(&machine, &Patient).unwrap().len(), 1);
        fs::remove_file(folder.join("size")).unwrap();
        // Whoever opens it to read waits for a writer.
        assert!(Command::new("mkfifo").arg(folder.join("size")).status().unwrap().success());
        let error = list_within(&machine, &Patient, Duration::from_millis(100)).unwrap_err();
        assert!(error.details().contains("did not answer within"), "{}", error.details());
        drop(OpenOptions::new().read(true).write(true).open(folder.join("size")).unwrap());
    }
}
