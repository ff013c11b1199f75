//! All disks of a machine, what is on each, and what is to become of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use tacit_blockdev::{Access, Device, Error};
use tacit_model::{BlockDevice, DevicePlan, EraseStandard, PlanVerdict, PlannedMethod};

use super::arrays::{self, Arrays, Fate, Member};
use super::guard::{Finding, FindingKind, protected_content, reserved, verdict};
use super::plan::Plan;
use super::skip::SkipList;
use super::stack::{BlockGraph, Kind, held, obstacle};
use super::{lanes, media};
use crate::chain::chain;
use crate::machine::{Machine, read_flag};
use crate::managers::StepError;

/// One disk, looked at.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) disk: BlockDevice,
    pub(super) path: PathBuf,
    pub(super) findings: Vec<Finding>,
    /// `None` where it could not be read, or need not be.
    pub(super) plan: Option<Plan>,
    /// What stands on it and is stopped first, from the top down.
    pub(super) above: Vec<String>,
    /// Swap and bcache aside, whether it is made of other devices.
    pub(super) is_built: bool,
}

impl Subject {
    pub(super) fn verdict(&self) -> PlanVerdict {
        verdict(&self.findings)
    }

    /// The name that the kernel has for it.
    fn kernel_name(&self) -> String {
        self.disk.name.trim_start_matches("/dev/").replace('/', "!")
    }

    /// Why it is left alone.
    pub(super) fn reason(&self) -> String {
        let wanted = self.verdict();
        let reasons = self.findings.iter().filter(|finding| finding.kind.verdict() == wanted);
        reasons.map(|finding| finding.reason.as_str()).collect::<Vec<_>>().join("; ")
    }

    /// What would be done, and why.
    pub(super) fn device_plan(&self) -> DevicePlan {
        let verdict = self.verdict();
        let mut reasons: Vec<String> = self.findings.iter().map(|finding| finding.reason.clone()).collect();
        let mut methods = Vec::new();
        if let (PlanVerdict::Erase, Some(plan)) = (verdict, &self.plan) {
            reasons.extend(self.above.iter().map(|holder| format!("{holder} is stopped first")));
            reasons.extend(plan.contents());
            let regions = plan.regions.len();
            methods.push(PlannedMethod {
                method: "metadata-wipe".to_owned(),
                standard: EraseStandard::None,
                estimated_seconds: None,
                reason: format!("whatever names the content of {regions} regions is overwritten with zeros"),
            });
        }
        DevicePlan {
            device: self.disk.name.clone(),
            serial: self.disk.serial.clone(),
            model: self.disk.model.clone(),
            verdict,
            reasons,
            methods,
        }
    }
}

/// All disks: what is built upon others comes before those others.
#[derive(Debug)]
pub(super) struct Census {
    pub(super) subjects: Vec<Subject>,
}

/// What one look at one disk yields.
type Look = (Vec<Finding>, Option<Plan>, Vec<Member>);

impl Census {
    /// Reads every disk, several at a time. Nothing is written, and nothing is opened for writing.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`] for a skip list that cannot be understood.
    pub(super) fn take(machine: &Machine, node: &Value) -> Result<Self, StepError> {
        let skip = SkipList::from_node(node).map_err(|error| StepError::InvalidParameter {
            parameter: "properties.skip_block_devices".to_owned(),
            problem: error.to_string(),
        })?;
        let graph = BlockGraph::read(machine.roots());
        let disks = machine.disks();
        let looks = lanes::each(&disks, |disk| look(machine, disk, &skip));
        let mut members = Vec::new();
        let mut subjects: Vec<Subject> = Vec::with_capacity(disks.len());
        for (disk, (findings, plan, found)) in disks.into_iter().zip(looks) {
            members.extend(found);
            let block = graph.get(&disk.name);
            subjects.push(Subject {
                path: machine.device_node(&disk.name),
                findings,
                plan,
                above: held(&graph, &disk.name),
                is_built: block.is_some_and(|block| matches!(block.kind, Kind::Array | Kind::Mapped { .. })),
                disk,
            });
        }
        let arrays = Arrays::new(members, &skip, arrays::configured(node));
        for subject in &mut subjects {
            subject.findings.extend(kept(subject, &arrays, &graph));
        }
        subjects.sort_by_key(|subject| (!subject.is_built, subject.above.len()));
        let mut census = Self { subjects };
        census.find_obstacles(machine, &graph);
        Ok(census)
    }

    /// What stands on a disk may stand on others, too, and those may have to be left alone: until nothing changes.
    fn find_obstacles(&mut self, machine: &Machine, graph: &BlockGraph) {
        loop {
            let erased = self.erased();
            let may_stop = |name: &str| erased.contains(name);
            let found = self
                .subjects
                .iter_mut()
                .filter(|subject| subject.verdict() == PlanVerdict::Erase)
                .filter_map(|subject| {
                    let error = obstacle(machine.roots(), graph, &subject.disk.name, &may_stop).err()?;
                    Some((subject, error))
                })
                .map(|(subject, error)| {
                    subject.findings.push(Finding::new(FindingKind::InUse, chain(&error)));
                })
                .count();
            if found == 0 {
                break;
            }
        }
    }

    /// Kernel names of the disks that are to be erased.
    pub(super) fn erased(&self) -> BTreeSet<String> {
        let erased = self.subjects.iter().filter(|subject| subject.verdict() == PlanVerdict::Erase);
        erased.map(Subject::kernel_name).collect()
    }

    /// The first disk with content that other machines may use, among those that nobody keeps out.
    pub(super) fn protected(&self) -> Option<StepError> {
        self.subjects.iter().filter(|subject| subject.verdict() != PlanVerdict::Skip).find_map(|subject| {
            let content = protected_content(subject.plan.as_ref()?)?;
            Some(StepError::Protected { device: subject.disk.name.clone(), content })
        })
    }

    /// Makes shared file systems a reason to refuse.
    pub(super) fn guard_shared(&mut self) {
        for subject in &mut self.subjects {
            if let Some(content) = subject.plan.as_ref().and_then(protected_content) {
                let reason = format!("holds {content}, which other machines may use");
                subject.findings.push(Finding::new(FindingKind::Shared, reason));
            }
        }
    }
}

/// Whether the disk is an array that stays as it is, or is a part of one that stays.
fn kept(subject: &Subject, arrays: &Arrays, graph: &BlockGraph) -> Option<Finding> {
    let block = graph.get(&subject.disk.name);
    if let Some(block) = block.filter(|block| block.kind == Kind::Array) {
        let array = arrays.running(graph, block).filter(|array| array.fate == Fate::Keep)?;
        return Some(Finding::new(FindingKind::Array, format!("{} is kept", array.title())));
    }
    let array = arrays.staying_on(&subject.disk.name)?;
    let reason = match array.fate {
        Fate::Keep => "is kept: it, or one beside it, is named by skip_block_devices",
        Fate::Wipe | Fate::Delete => {
            "stays: it belongs to the node's configuration or stands beside a kept one"
        }
    };
    Some(Finding::new(FindingKind::Array, format!("a member of {}, which {reason}", array.title())))
}

fn look(machine: &Machine, disk: &BlockDevice, skip: &SkipList) -> Look {
    let mut findings = Vec::new();
    if skip.matches(disk) {
        findings.push(Finding::new(FindingKind::Listed, "named by skip_block_devices"));
    }
    let name = disk.name.trim_start_matches("/dev/").replace('/', "!");
    let folder = machine.roots().sys.join("block").join(name);
    if read_flag(&folder.join("ro")) {
        findings.push(Finding::new(FindingKind::ReadOnly, "read-only"));
    }
    if media::is_played_by_bmc(&folder) {
        findings.push(Finding::new(FindingKind::VirtualMedium, "a virtual medium of the BMC"));
    }
    match read(machine, disk, &mut findings) {
        Ok((plan, members)) => (findings, plan, members),
        Err(error) => {
            findings.push(Finding::new(FindingKind::Unreadable, chain(&error)));
            (findings, None, Vec::new())
        }
    }
}

fn read(
    machine: &Machine,
    disk: &BlockDevice,
    findings: &mut Vec<Finding>,
) -> Result<(Option<Plan>, Vec<Member>), Error> {
    let device = Device::open(&machine.device_node(&disk.name), Access::Read)?;
    if device.is_block_device() && device.is_read_only() {
        findings.push(Finding::new(FindingKind::ReadOnly, "the device takes no writes"));
    }
    if device.size_bytes() == 0 {
        findings.push(Finding::new(FindingKind::Empty, "empty"));
        return Ok((None, Vec::new()));
    }
    if media::is_parameter_medium(&device)? {
        findings.push(Finding::new(FindingKind::VirtualMedium, "virtual medium with parameters"));
    }
    if let Some(reason) = reserved(&device, &disk.name) {
        findings.push(Finding::new(FindingKind::Reserved, reason));
    }
    let plan = Plan::make(&device)?;
    let members = arrays::members(&device, &disk.name, &plan)?;
    Ok((Some(plan), members))
}
