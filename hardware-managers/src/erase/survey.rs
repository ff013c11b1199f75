//! All devices of a machine with their plans, before any of them is touched.

use std::collections::BTreeSet;
use std::sync::Arc;

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
use crate::managers::{StepContext, StepError, StepObserver};
use crate::wipe::SkipList;

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
    let scope = Arc::new(Scope { skip, erased });
    let answers = ask_every(source, &disks, &scope, context.observer)?;
    let mut candidates = Vec::with_capacity(disks.len());
    for (disk, (findings, facts)) in disks.into_iter().zip(answers) {
        let decision = plan(&disk, &facts, policy, &findings);
        if let (Some(content), PlanVerdict::Refuse, false) =
            (&findings.shared, decision.plan.verdict, dry_run)
        {
            return Err(StepError::Protected { device: disk.name, content: content.clone() });
        }
        candidates.push(Candidate { disk, facts, findings, decision });
    }
    while spare_companions(&mut candidates, policy) {}
    let surveyed = candidates.into_iter().map(|Candidate { disk, facts, findings, decision }| Surveyed {
        plan: decision.plan,
        lane: findings.lane,
        job: Job {
            disk,
            facts,
            methods: decision.methods,
            companions: findings.companions,
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
    let mut findings = source.findings(disk, &scope.skip, &scope.erased);
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
