//! All disks of a machine, what is on each, and what is to become of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;
use tacit_blockdev::{Access, Device, Error};
use tacit_model::{BlockDevice, DevicePlan, EraseStandard, PlanVerdict, PlannedMethod};

use super::arrays::{self, Arrays, Fate, Member};
use super::guard::{Finding, FindingKind, protected_content, reserved, verdict};
use super::plan::Plan;
use super::probe::Follow;
use super::skip::SkipList;
use super::stack::{Block, BlockGraph, Kind, held, obstacle};
use super::{lanes, media};
use crate::chain::chain;
use crate::machine::{Machine, is_virtual_medium, read_flag};
use crate::managers::StepError;

/// Of a disk without any sector.
const NO_SIZE: &str = "reports no size, as drives do that have failed";

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
    /// Whether it is made of other devices: an array, a multipath or bcache device.
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
        let mut disks = machine.disks();
        // Drives that have failed are in no list of disks, and are not clean.
        disks.extend(machine.disks_without_size());
        let looks = lanes::each(&disks, |disk| look(machine, &graph, disk, &skip));
        let mut members = Vec::new();
        let mut subjects: Vec<Subject> = Vec::with_capacity(disks.len());
        for (disk, (mut findings, plan, found)) in disks.into_iter().zip(looks) {
            members.extend(found);
            let block = graph.get(&disk.name);
            let is_built = block.is_some_and(|block| graph.slaves(block).next().is_some());
            if is_built && block.is_some_and(|block| block.kind == Kind::Disk) {
                let reason = "made of other devices by a driver that this agent does not know";
                findings.push(Finding::new(FindingKind::InUse, reason));
            }
            subjects.push(Subject {
                path: machine.device_node(&disk.name),
                findings,
                plan,
                above: held(&graph, &disk.name),
                is_built,
                disk,
            });
        }
        let arrays = Arrays::new(members, &skip, arrays::configured(node));
        for subject in &mut subjects {
            subject.findings.extend(kept(subject, &arrays, &graph));
        }
        subjects.sort_by_key(|subject| (!subject.is_built, subject.above.len()));
        let mut census = Self { subjects };
        census.heed_what_is_below(&graph);
        census.find_obstacles(machine, &graph);
        Ok(census)
    }

    /// What is written to an array is written to its disks: what keeps one of these out, keeps the array out. That a
    /// disk stays because an array on it does is no such reason.
    fn heed_what_is_below(&mut self, graph: &BlockGraph) {
        let mut heeded: Vec<(usize, Finding)> = Vec::new();
        for (at, subject) in self.subjects.iter().enumerate().filter(|(_, subject)| subject.is_built) {
            let below = graph.get(&subject.disk.name).map(|block| graph.below(block)).unwrap_or_default();
            let lower = self.subjects.iter().filter(|lower| below.contains(lower.kernel_name().as_str()));
            for lower in lower {
                let keeps = |finding: &&Finding| lower.is_built || finding.kind != FindingKind::Array;
                heeded.extend(lower.findings.iter().filter(keeps).map(|finding| {
                    let reason = format!("stands on {}: {}", lower.disk.name, finding.reason);
                    (at, Finding::new(finding.kind, reason))
                }));
            }
        }
        for (at, finding) in heeded {
            self.subjects[at].findings.push(finding);
        }
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

fn look(machine: &Machine, graph: &BlockGraph, disk: &BlockDevice, skip: &SkipList) -> Look {
    let mut findings = Vec::new();
    if skip.matches(disk) {
        findings.push(Finding::new(FindingKind::Listed, "named by skip_block_devices"));
    }
    let name = disk.name.trim_start_matches("/dev/").replace('/', "!");
    let folder = machine.roots().sys.join("block").join(name);
    if read_flag(&folder.join("ro")) {
        findings.push(Finding::new(FindingKind::ReadOnly, "read-only"));
    }
    if is_virtual_medium(&folder) {
        findings.push(Finding::new(FindingKind::VirtualMedium, "a virtual medium of the BMC"));
    }
    if disk.size == 0 {
        findings
            .push(Finding::new(FindingKind::Unreadable, "reports no size, as drives do that have failed"));
        return (findings, None, Vec::new());
    }
    match read(machine, graph, disk, &mut findings) {
        Ok((plan, members)) => (findings, plan, members),
        Err(error) => {
            findings.push(Finding::new(FindingKind::Unreadable, chain(&error)));
            (findings, None, Vec::new())
        }
    }
}

fn read(
    machine: &Machine,
    graph: &BlockGraph,
    disk: &BlockDevice,
    findings: &mut Vec<Finding>,
) -> Result<(Option<Plan>, Vec<Member>), Error> {
    let device = Device::open(&machine.device_node(&disk.name), Access::Read)?;
    if device.is_block_device() && device.is_read_only() {
        findings.push(Finding::new(FindingKind::ReadOnly, "the device takes no writes"));
    }
    if device.size_bytes() == 0 {
        findings.push(Finding::new(FindingKind::Unreadable, NO_SIZE));
        return Ok((None, Vec::new()));
    }
    if media::is_parameter_medium(&device)? {
        findings.push(Finding::new(FindingKind::VirtualMedium, "virtual medium with parameters"));
    }
    if let Some(reason) = reserved(machine, &disk.name) {
        findings.push(Finding::new(FindingKind::Reserved, reason));
    }
    let mut plan = Plan::make(&device, Follow::Copies)?;
    let above = graph.get(&disk.name).map(|block| graph.above(block)).unwrap_or_default();
    plan.shared_above = above.into_iter().find_map(|holder| shared_on(machine, holder));
    let members = arrays::members(&device, &disk.name, &plan)?;
    Ok((Some(plan), members))
}

/// A shared file system on what stands upon a disk: within a logical volume it has no place on the disk that could be
/// told in advance.
fn shared_on(machine: &Machine, holder: &Block) -> Option<String> {
    // Reads from a suspended device wait until somebody wakes it.
    if read_flag(&holder.folder.join("dm/suspended")) {
        return None;
    }
    let device = Device::open(&machine.device_node(holder.node()), Access::Read).ok()?;
    let plan = (device.size_bytes() > 0).then(|| Plan::make(&device, Follow::Guards))?.ok()?;
    Some(format!("on {}: {}", holder.node(), protected_content(&plan)?))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::machine::Roots;

    const SIZE: u64 = 4 << 20;

    /// A disk, or something built upon others, with a file of zeros for its node.
    fn block(root: &Path, name: &str, upon: &[&str]) {
        let folder = root.join("sys/block").join(name);
        for part in ["holders", "slaves"] {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(folder.join("size"), (SIZE / 512).to_string()).unwrap();
        for below in upon {
            let lower = root.join("sys/block").join(below);
            symlink(&lower, folder.join("slaves").join(below)).unwrap();
            symlink(&folder, lower.join("holders").join(name)).unwrap();
        }
        if name.starts_with("md") {
            fs::create_dir_all(folder.join("md")).unwrap();
            fs::write(folder.join("md/level"), "raid1").unwrap();
        }
        fs::create_dir_all(root.join("dev")).unwrap();
        fs::File::create(root.join("dev").join(name)).unwrap().set_len(SIZE).unwrap();
    }

    fn take(root: &Path, listed: &str) -> Vec<(String, PlanVerdict, String)> {
        let machine = Machine::new(Roots::below(root), None);
        let node = json!({"properties": {"skip_block_devices": [{ "name": listed }]}});
        let census = Census::take(&machine, &node).unwrap();
        let all = census.subjects.iter();
        all.map(|subject| (subject.disk.name.clone(), subject.verdict(), subject.reason())).collect()
    }

    #[test]
    fn what_stands_on_a_kept_disk_is_kept_with_it() {
        let folder = tempfile::tempdir().unwrap();
        for disk in ["vda", "vdb", "vdc"] {
            block(folder.path(), disk, &[]);
        }
        block(folder.path(), "md0", &["vda", "vdb"]);
        block(folder.path(), "bcache0", &["md0"]);
        let subjects = take(folder.path(), "/dev/vda");
        let of = |name: &str| subjects.iter().find(|(found, ..)| found == name).unwrap();
        for name in ["/dev/vda", "/dev/md0", "/dev/bcache0"] {
            assert_eq!(of(name).1, PlanVerdict::Skip, "{name}: {}", of(name).2);
        }
        assert_eq!(of("/dev/md0").2, "stands on /dev/vda: named by skip_block_devices");
        // The array keeps its other disk from being freed.
        assert_eq!((of("/dev/vdb").1, of("/dev/vdc").1), (PlanVerdict::Refuse, PlanVerdict::Erase));
    }

    #[test]
    fn bcache_devices_are_wiped_before_they_are_stopped_with_what_they_stand_on() {
        let folder = tempfile::tempdir().unwrap();
        block(folder.path(), "vda", &[]);
        block(folder.path(), "vdb", &[]);
        block(folder.path(), "bcache0", &["vda", "vdb"]);
        let machine = Machine::new(Roots::below(folder.path()), None);
        let census = Census::take(&machine, &json!({})).unwrap();
        let built: Vec<(&str, bool)> =
            census.subjects.iter().map(|subject| (subject.disk.name.as_str(), subject.is_built)).collect();
        assert_eq!(built, [("/dev/bcache0", true), ("/dev/vda", false), ("/dev/vdb", false)]);
        assert!(census.subjects.iter().all(|subject| subject.verdict() == PlanVerdict::Erase));
    }

    #[test]
    fn replicated_devices_of_other_drivers_are_left_alone_with_their_disks() {
        let folder = tempfile::tempdir().unwrap();
        block(folder.path(), "vda", &[]);
        block(folder.path(), "drbd0", &["vda"]);
        let subjects = take(folder.path(), "/dev/none");
        assert!(subjects.iter().all(|(_, verdict, _)| *verdict == PlanVerdict::Refuse), "{subjects:?}");
    }
}
