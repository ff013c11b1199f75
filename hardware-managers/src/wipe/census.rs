//! All disks of a machine, what is on each, and what is to become of it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tacit_model::{BlockDevice, DevicePlan, EraseStandard, PlanVerdict, PlannedMethod};

use super::arrays::{self, Array, Arrays, Fate};
use super::forbidden::guards_shared;
use super::guard::{Finding, FindingKind, protected_content, verdict};
use super::kept::listed;
use super::look::{Look, Looker};
use super::plan::Plan;
use super::same;
use super::skip::SkipList;
use super::stack::{BlockGraph, Kind, held, obstacle};
use crate::ask::{SILENCE, ask_all};
use crate::chain::chain;
use crate::machine::Machine;
use crate::managers::{StepError, StepObserver};
use crate::raid;

/// One disk, looked at.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) disk: BlockDevice,
    pub(super) path: PathBuf,
    pub(super) findings: Vec<Finding>,
    /// What keeps out a device that it stands on.
    below: Vec<Finding>,
    /// `None` where it could not be read, or need not be.
    pub(super) plan: Option<Plan>,
    /// What stands on it and is stopped first, from the top down.
    pub(super) above: Vec<String>,
    /// Whether it is made of other devices: an array, a multipath or bcache device.
    pub(super) is_built: bool,
    /// As the kernel showed it.
    seen: Option<BlockDevice>,
}

impl Subject {
    pub(super) fn verdict(&self) -> PlanVerdict {
        verdict(&self.all())
    }

    fn all(&self) -> Vec<Finding> {
        [self.findings.as_slice(), &self.below].concat()
    }

    /// The name that the kernel has for it.
    fn kernel_name(&self) -> String {
        self.disk.name.trim_start_matches("/dev/").replace('/', "!")
    }

    /// Why it is left alone.
    pub(super) fn reason(&self) -> String {
        let wanted = self.verdict();
        let reasons = self.all().into_iter().filter(|finding| finding.kind.verdict() == wanted);
        reasons.map(|finding| finding.reason).collect::<Vec<_>>().join("; ")
    }

    /// What would be done, and why.
    pub(super) fn device_plan(&self) -> DevicePlan {
        let verdict = self.verdict();
        let mut reasons: Vec<String> = self.all().into_iter().map(|finding| finding.reason).collect();
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
    skip: SkipList,
}

impl Census {
    /// Reads all disks at the same time. Nothing is written, and nothing is opened for writing.
    ///
    /// # Errors
    ///
    /// [`StepError::InvalidParameter`] for a skip list that cannot be understood, [`StepError::Cancelled`], that of
    /// [`StepError::unlisted`] when the search for arrays does not come to an end.
    pub(super) fn take(
        machine: &Machine,
        node: &Value,
        observer: &dyn StepObserver,
    ) -> Result<Self, StepError> {
        Self::take_within(SILENCE, machine, node, observer)
    }

    /// Waits for no disk longer than that.
    fn take_within(
        silence: Duration,
        machine: &Machine,
        node: &Value,
        observer: &dyn StepObserver,
    ) -> Result<Self, StepError> {
        let skip = SkipList::from_node(node).map_err(|error| StepError::InvalidParameter {
            parameter: "properties.skip_block_devices".to_owned(),
            problem: error.to_string(),
        })?;
        // Starting arrays reads all disks, one after the other: whichever hangs must not hang the step.
        let arguments = [(machine.clone(), node.clone())];
        let start = |(machine, node): &(Machine, Value)| raid::start(machine, node);
        let started = ask_all(&arguments, silence, &|| observer.cancelled(), start)
            .ok_or_else(|| StepError::Cancelled { done: 0, total: machine.disks().len() })?;
        if let Some(problem) = started.into_iter().find_map(Result::err) {
            let problem = format!("the search for arrays on them {problem}");
            return Err(StepError::unlisted(&std::io::Error::other(problem)));
        }
        let graph = Arc::new(BlockGraph::read(machine.roots()));
        let mut disks = machine.disks();
        // Drives that have failed are in no list of disks, and are not clean.
        disks.extend(machine.disks_without_size());
        let looker = Looker {
            machine: machine.clone(),
            graph: graph.clone(),
            skip: skip.clone(),
            guarded: guards_shared(node),
        };
        let silent = looker.clone();
        let looks = ask_all(&disks, silence, &|| observer.cancelled(), move |disk| looker.look(disk))
            .ok_or(StepError::Cancelled { done: 0, total: disks.len() })?;
        let mut members = Vec::new();
        let mut subjects: Vec<Subject> = Vec::with_capacity(disks.len());
        for (disk, look) in disks.into_iter().zip(looks) {
            let look = look.unwrap_or_else(|problem| silent.not_read(&disk, problem));
            let Look { mut findings, plan, members: found, seen } = look;
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
                below: Vec::new(),
                plan,
                above: held(&graph, &disk.name),
                is_built,
                seen,
                disk,
            });
        }
        let arrays = Arrays::new(members, &skip, arrays::has_software_raid(node));
        let names: BTreeSet<String> = subjects.iter().map(|subject| subject.disk.name.clone()).collect();
        for subject in &mut subjects {
            subject.findings.extend(kept(subject, &arrays, &graph, &names));
        }
        subjects.sort_by_key(|subject| (!subject.is_built, subject.above.len()));
        let mut census = Self { subjects, skip };
        // What stands on a disk may stand on others, too, and those may have to be left alone: until nothing changes.
        loop {
            census.heed_what_is_below(&graph);
            if census.find_obstacles(machine, &graph) == 0 {
                break;
            }
        }
        Ok(census)
    }

    /// What is written to an array is written to its disks: what keeps one of these out, keeps the array out. That a
    /// disk stays because an array on it does is no such reason.
    fn heed_what_is_below(&mut self, graph: &BlockGraph) {
        let below = |subject: &Subject| {
            let block = graph.get(&subject.disk.name).filter(|_| subject.is_built);
            let below = block.map(|block| graph.below(block)).unwrap_or_default();
            let lower = self.subjects.iter().filter(|lower| below.contains(lower.kernel_name().as_str()));
            let heeded = lower.flat_map(|lower| {
                let keeps = |finding: &&Finding| lower.is_built || finding.kind != FindingKind::Array;
                lower.findings.iter().filter(keeps).map(|finding| {
                    let reason = format!("stands on {}: {}", lower.disk.name, finding.reason);
                    Finding::new(finding.kind, reason)
                })
            });
            heeded.collect()
        };
        let heeded: Vec<Vec<Finding>> = self.subjects.iter().map(below).collect();
        for (subject, heeded) in self.subjects.iter_mut().zip(heeded) {
            subject.below = heeded;
        }
    }

    /// What keeps disks from being freed; how many have something that was not known before.
    fn find_obstacles(&mut self, machine: &Machine, graph: &BlockGraph) -> usize {
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
            });
        found.count()
    }

    /// Whether a name still stands for the drive that was looked at, and the skip list does not name it by now.
    ///
    /// # Errors
    ///
    /// What has changed, in words.
    pub(super) fn still_holds(&self, machine: &Machine, subject: &Subject) -> Result<(), String> {
        let name = &subject.disk.name;
        let Some(before) = &subject.seen else { return Ok(()) };
        let now = same::seen(machine, name);
        if let Some(difference) = same::difference(before, now.as_ref()) {
            return Err(format!("{name} is not what was looked at: {difference}"));
        }
        match now.filter(|now| listed(machine, &self.skip, now)) {
            Some(_) => Err(format!("{name} is named by skip_block_devices by now")),
            None => Ok(()),
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
fn kept(subject: &Subject, arrays: &Arrays, graph: &BlockGraph, names: &BTreeSet<String>) -> Option<Finding> {
    let block = graph.get(&subject.disk.name);
    if let Some(block) = block.filter(|block| block.kind == Kind::Array) {
        let array = arrays.running(graph, block).filter(|array| array.fate == Fate::Keep)?;
        return Some(doubt(array).unwrap_or_else(|| {
            Finding::new(FindingKind::Array, format!("{} is kept: its content stays", array.title()))
        }));
    }
    if let Some(array) = arrays.out_of_reach_on(&subject.disk.name, graph, names) {
        let reason = format!(
            "a member of {}, which stays and whose content cannot be wiped: it does not run, or is none of this \
             machine's disks. delete_configuration removes it",
            array.title()
        );
        return Some(Finding::new(FindingKind::Unreadable, reason));
    }
    let array = arrays.staying_on(&subject.disk.name)?;
    if let Some(doubt) = doubt(array) {
        return Some(doubt);
    }
    let reason = match array.fate {
        Fate::Keep => "is kept: it, or one beside it, is named by skip_block_devices. Its content stays",
        Fate::Wipe | Fate::Delete => {
            "stays: it belongs to the node's configuration or stands beside a kept one"
        }
    };
    Some(Finding::new(FindingKind::Array, format!("a member of {}, which {reason}", array.title())))
}

/// Of an array that is kept by a name that another one has, too.
fn doubt(array: &Array) -> Option<Finding> {
    let reason = || {
        format!(
            "a part of one of several arrays that are called as {}, which skip_block_devices names: which of them \
             is meant is not known",
            array.title()
        )
    };
    array.is_doubtful.then(|| Finding::new(FindingKind::Doubtful, reason()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::machine::Roots;
    use crate::managers::Silent;

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
        let census = Census::take(&machine, &node, &Silent).unwrap();
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
        assert!(
            of("/dev/md0").2.ends_with("stands on /dev/vda: named by skip_block_devices"),
            "{}",
            of("/dev/md0").2
        );
        // The array keeps its other disk from being freed.
        assert_eq!((of("/dev/vdb").1, of("/dev/vdc").1), (PlanVerdict::Refuse, PlanVerdict::Erase));
    }

    #[test]
    fn an_array_of_the_configuration_that_does_not_run_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for disk in ["vda", "vdb"] {
            block(root, disk, &[]);
            let mut member = [0; 256];
            member[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
            member[4] = 1;
            member[32..36].copy_from_slice(b"root");
            member[144] = 8;
            let node = fs::OpenOptions::new().write(true).open(root.join("dev").join(disk)).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&node, &member, 4096).unwrap();
        }
        let raid = json!({"logical_disks": [{"raid_level": "1", "controller": "software"}]});
        let node = json!({ "raid_config": raid });
        let verdicts = |only: Option<Vec<PathBuf>>| {
            let census = Census::take(&Machine::new(Roots::below(root), only), &node, &Silent).unwrap();
            let verdicts: Vec<PlanVerdict> = census.subjects.iter().map(Subject::verdict).collect();
            verdicts
        };
        assert_eq!(verdicts(None), [PlanVerdict::Refuse, PlanVerdict::Refuse]);
        block(root, "md0", &["vda", "vdb"]);
        assert_eq!(verdicts(None), [PlanVerdict::Erase, PlanVerdict::Skip, PlanVerdict::Skip]);
        let only = Some(vec!["/dev/vda".into(), "/dev/vdb".into()]);
        assert!(verdicts(only).iter().all(|verdict| *verdict == PlanVerdict::Refuse), "hidden");
    }

    #[test]
    fn bcache_devices_are_wiped_before_they_are_stopped_with_what_they_stand_on() {
        let folder = tempfile::tempdir().unwrap();
        block(folder.path(), "vda", &[]);
        block(folder.path(), "vdb", &[]);
        block(folder.path(), "bcache0", &["vda", "vdb"]);
        let machine = Machine::new(Roots::below(folder.path()), None);
        let census = Census::take(&machine, &json!({}), &Silent).unwrap();
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

    #[test]
    fn an_array_on_a_refused_disk_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for disk in ["vda", "vdb", "vdc", "vdd"] {
            block(root, disk, &[]);
        }
        block(root, "md0", &["vda", "vdb"]);
        block(root, "md1", &["vdc", "vdd"]);
        fs::create_dir_all(root.join("proc/self")).unwrap();
        fs::write(root.join("proc/self/mountinfo"), "31 1 0:55 / /srv rw - btrfs /dev/vda rw\n").unwrap();
        let subjects = take(root, "/dev/none");
        let of = |name: &str| subjects.iter().find(|(found, ..)| found == name).unwrap();
        for name in ["/dev/vda", "/dev/md0", "/dev/vdb"] {
            assert_eq!(of(name).1, PlanVerdict::Refuse, "{name}: {}", of(name).2);
        }
        assert!(
            of("/dev/md0").2.starts_with("stands on /dev/vda: /dev/vda is mounted at /srv"),
            "{}",
            of("/dev/md0").2
        );
        for name in ["/dev/vdc", "/dev/vdd", "/dev/md1"] {
            assert_eq!(of(name).1, PlanVerdict::Erase, "{name}: {}", of(name).2);
        }
    }

    struct Impatient;

    impl StepObserver for Impatient {
        fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: tacit_model::ProgressUnit) {}

        fn cancelled(&self) -> bool {
            true
        }
    }

    #[test]
    fn a_disk_that_does_not_answer_keeps_nobody_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for disk in ["vda", "vdb"] {
            block(root, disk, &[]);
        }
        // Whoever looks at the disk waits for a writer.
        let silent = root.join("sys/block/vda/dm");
        fs::create_dir(&silent).unwrap();
        let silent = silent.join("suspended");
        nix::unistd::mkfifo(&silent, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let machine = Machine::new(Roots::below(root), None);
        let error = Census::take(&machine, &json!({}), &Impatient).unwrap_err();
        assert!(matches!(error, StepError::Cancelled { done: 0, total: 2 }), "{error}");
        let census = Census::take_within(Duration::from_millis(200), &machine, &json!({}), &Silent).unwrap();
        let of = |name: &str| census.subjects.iter().find(|subject| subject.disk.name == name).unwrap();
        assert_eq!(of("/dev/vda").verdict(), PlanVerdict::Refuse);
        assert!(of("/dev/vda").reason().starts_with("did not answer"), "{}", of("/dev/vda").reason());
        assert_eq!(of("/dev/vdb").verdict(), PlanVerdict::Erase);
        // Both threads go on, and end.
        fs::OpenOptions::new().read(true).write(true).open(&silent).unwrap();
    }

    #[test]
    fn what_cannot_be_read_may_be_shared() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for disk in ["vda", "vdb", "vdc"] {
            block(root, disk, &[]);
        }
        for (volume, disk) in [("dm-0", "vda"), ("dm-1", "vdb"), ("dm-2", "vdc")] {
            block(root, volume, &[disk]);
            fs::create_dir(root.join("sys/block").join(volume).join("dm")).unwrap();
        }
        fs::write(root.join("sys/block/dm-0/dm/suspended"), "1\n").unwrap();
        fs::remove_file(root.join("dev/dm-1")).unwrap();
        let subjects = take(root, "/dev/none");
        let of = |name: &str| subjects.iter().find(|(found, ..)| found == name).unwrap();
        for (name, why) in [("/dev/vda", "suspended"), ("/dev/vdb", "cannot open")] {
            let (_, verdict, reason) = of(name);
            assert_eq!(*verdict, PlanVerdict::Refuse, "{name}");
            assert!(reason.contains("other machines may use") && reason.contains(why), "{name}: {reason}");
        }
        assert_eq!(of("/dev/vdc").1, PlanVerdict::Erase);
        // Whoever allows the loss of such file systems need not know.
        let machine = Machine::new(Roots::below(root), None);
        let node = json!({"driver_info": {"wipe_special_filesystems": true}});
        let census = Census::take(&machine, &node, &Silent).unwrap();
        assert!(census.subjects.iter().all(|subject| subject.verdict() == PlanVerdict::Erase));
    }

    #[test]
    fn a_name_that_stands_for_another_drive_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        block(root, "vda", &[]);
        fs::write(root.join("sys/block/vda/serial"), "S1").unwrap();
        let machine = Machine::new(Roots::below(root), None);
        let skip = json!({"properties": {"skip_block_devices": [{"rotational": true}]}});
        let census = Census::take(&machine, &skip, &Silent).unwrap();
        let still_holds = || census.still_holds(&machine, &census.subjects[0]);
        assert_eq!(still_holds(), Ok(()));
        fs::create_dir_all(root.join("sys/block/vda/queue")).unwrap();
        fs::write(root.join("sys/block/vda/queue/rotational"), "1").unwrap();
        assert!(still_holds().unwrap_err().contains("skip_block_devices"));
        fs::write(root.join("sys/block/vda/serial"), "S2").unwrap();
        assert!(still_holds().unwrap_err().contains("its serial was S1 and is S2"));
        fs::remove_dir_all(root.join("sys/block/vda")).unwrap();
        assert!(still_holds().unwrap_err().contains("no longer there"));
    }
}
