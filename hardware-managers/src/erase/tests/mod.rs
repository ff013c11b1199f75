//! Erasing drives that are played: each behaviour, from the plan to the proof.

mod at_work;
mod guards;
mod hidden;
mod many;
mod nvme;
mod overwrite;
mod paths;
mod planning;
mod scsi;
mod stops;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};
use tacit_blockdev::{Access, CommandError, Drive, Error, NvmeCommand, ScsiCommand, ScsiReply, Transfer};
use tacit_model::{BlockDevice, DevicePlan, ProgressUnit, Proof};

use super::findings::Findings;
use super::policy::Policy;
use super::recheck::Scope;
use super::source::{DriveSource, Note};
use super::step::carry_out;
use super::survey::probe;
use crate::drives::simulated::{Content, SimulatedClock};
use crate::drives::{Clock, DriveKind};
use crate::managers::{StepContext, StepError, StepObserver};
use crate::wipe::ParameterLabel;

pub(crate) const MIB: u64 = 1 << 20;

/// Findings with which nothing is in the way.
pub(super) fn free(size: u64) -> Findings {
    Findings {
        allowed: true,
        size,
        read_only: false,
        skip_listed: false,
        kept_volume: None,
        virtual_medium: false,
        parameter_label: ParameterLabel::Absent,
        held: Vec::new(),
        member_of: None,
        raid_member: None,
        shared: None,
        unreadable: None,
        discards: true,
        siblings: Vec::new(),
        companions: Vec::new(),
        lane: String::new(),
    }
}

/// A drive without commands of its own, as virtio or a loop device.
pub(super) struct PlainDrive(pub(super) Arc<Content>);

impl Drive for PlainDrive {
    fn size_bytes(&self) -> u64 {
        self.0.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.0.logical_sector()
    }

    fn is_read_only(&self) -> bool {
        self.0.is_read_only()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.0.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        self.0.write_at(offset, buf)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.0.fill(offset..offset + len, 0);
        Ok(())
    }

    fn flush(&self) -> Result<(), Error> {
        Ok(())
    }

    fn nvme(&self, _: &NvmeCommand, _: Transfer<'_>) -> Result<u32, CommandError> {
        Err(CommandError::NoPassThrough)
    }

    fn scsi(&self, _: &ScsiCommand<'_>, _: Transfer<'_>) -> Result<ScsiReply, CommandError> {
        Err(CommandError::NoPassThrough)
    }

    fn opal_revert_by_psid(&self, _: &str) -> Result<(), CommandError> {
        Err(CommandError::NoPassThrough)
    }
}

/// One drive of the bench.
struct Slot {
    disk: BlockDevice,
    drive: Arc<dyn Drive>,
    /// Who has the drive while nobody has opened it.
    owners: usize,
    kind: DriveKind,
    findings: Findings,
    /// What the guards find when they are asked again.
    later: Option<Findings>,
    asked: AtomicUsize,
    /// The drive that has this name from the third time on that it is opened: after the plan and the erasure.
    successor: Option<Arc<dyn Drive>>,
    opened: AtomicUsize,
}

/// A machine whose drives are played.
#[derive(Default)]
pub(crate) struct Bench {
    slots: BTreeMap<String, Slot>,
    clock: SimulatedClock,
    notes: Arc<Mutex<BTreeMap<String, Note>>>,
}

impl Bench {
    pub(crate) fn new(clock: &SimulatedClock) -> Self {
        Self { clock: clock.clone(), ..Self::default() }
    }

    pub(crate) fn put(&mut self, name: &str, kind: DriveKind, drive: Arc<dyn Drive>) -> &mut Findings {
        let size = drive.size_bytes();
        let disk = BlockDevice { name: name.to_owned(), size, rotational: true, ..BlockDevice::default() };
        let findings = Findings { lane: name.to_owned(), ..free(size) };
        let slot = Slot {
            disk,
            owners: Arc::strong_count(&drive),
            drive,
            kind,
            findings,
            later: None,
            asked: AtomicUsize::default(),
            successor: None,
            opened: AtomicUsize::default(),
        };
        &mut self.slots.entry(name.to_owned()).insert_entry(slot).into_mut().findings
    }

    pub(crate) fn plain(&mut self, name: &str, content: &Arc<Content>) -> &mut Findings {
        self.put(name, DriveKind::Plain, Arc::new(PlainDrive(content.clone())))
    }

    pub(crate) fn disks(&self) -> Vec<BlockDevice> {
        self.slots.values().map(|slot| slot.disk.clone()).collect()
    }

    /// Somebody comes to use the drive after the plan.
    pub(crate) fn hold_later(&mut self, name: &str, by: &str) {
        let slot = self.slots.get_mut(name).expect("the drive is there");
        slot.later = Some(Findings { held: vec![by.to_owned()], ..slot.findings.clone() });
    }

    pub(super) fn leave_note(&self, name: &str, note: Note) {
        self.notes.lock().unwrap().insert(name.to_owned(), note);
    }

    pub(super) fn notes(&self) -> Arc<Mutex<BTreeMap<String, Note>>> {
        self.notes.clone()
    }
}

impl DriveSource for Bench {
    fn open(&self, disk: &BlockDevice, access: Access) -> Result<Arc<dyn Drive>, Error> {
        let slot = &self.slots[&disk.name];
        let held = |findings: &Findings| !findings.held.is_empty();
        if access == Access::Exclusive && (held(&slot.findings) || slot.later.as_ref().is_some_and(held)) {
            let source = std::io::Error::from_raw_os_error(nix::libc::EBUSY);
            return Err(Error::InUse { device: disk.name.clone().into(), source });
        }
        let again = slot.opened.fetch_add(1, Ordering::Relaxed) > 1;
        Ok(slot.successor.as_ref().filter(|_| again).unwrap_or(&slot.drive).clone())
    }

    fn kind(&self, disk: &BlockDevice) -> DriveKind {
        self.slots[&disk.name].kind
    }

    fn clock(&self) -> &dyn Clock {
        &self.clock
    }

    fn findings(&self, disk: &BlockDevice, _: &Scope) -> Findings {
        let slot = &self.slots[&disk.name];
        let again = slot.asked.fetch_add(1, Ordering::Relaxed) > 0;
        slot.later.as_ref().filter(|_| again).unwrap_or(&slot.findings).clone()
    }

    /// As the kernel: not while anybody holds the device.
    fn rescan(&self, disk: &BlockDevice) -> Result<(), Error> {
        let slot = &self.slots[&disk.name];
        if Arc::strong_count(&slot.drive) > slot.owners {
            let source = std::io::Error::from_raw_os_error(nix::libc::EBUSY);
            return Err(Error::InUse { device: disk.name.clone().into(), source });
        }
        Ok(())
    }

    fn note(&self, disk: &BlockDevice, note: Option<&Note>) {
        let mut notes = self.notes.lock().unwrap();
        match note {
            Some(note) => notes.insert(disk.name.clone(), note.clone()),
            None => notes.remove(&disk.name),
        };
    }

    fn noted(&self, disk: &BlockDevice) -> Option<Note> {
        self.notes.lock().unwrap().get(&disk.name).cloned()
    }
}

/// Says stop when a stage that begins with a word has been reported.
#[derive(Default)]
pub(super) struct Watcher {
    pub(super) stop_at: Option<&'static str>,
    pub(super) stop_at_once: bool,
    stages: Mutex<Vec<(String, String)>>,
    asked: AtomicUsize,
}

impl Watcher {
    pub(super) fn saw(&self, device: &str, stage: &str) -> bool {
        self.stages.lock().unwrap().iter().any(|(at, seen)| at == device && seen.starts_with(stage))
    }
}

impl StepObserver for Watcher {
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, _: ProgressUnit) {
        assert!(done <= total, "{stage} of {device}: {done} of {total}");
        self.stages.lock().unwrap().push((device.to_owned(), stage.to_owned()));
    }

    fn cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let stages = self.stages.lock().unwrap();
        self.stop_at_once
            || self.stop_at.is_some_and(|word| stages.iter().any(|(_, stage)| stage.starts_with(word)))
    }
}

/// What the steps do with a bench in the place of a machine.
pub(super) struct Run {
    pub(super) plans: Vec<DevicePlan>,
    pub(super) outcome: Result<Vec<Proof>, StepError>,
}

pub(super) fn run_observed(bench: Bench, knobs: Value, args: Value, watcher: &Watcher) -> Run {
    let node = json!({ "driver_internal_info": knobs });
    let args: Map<String, Value> = args.as_object().unwrap().clone();
    let ports = json!([]);
    let context = StepContext { node: &node, ports: &ports, args: &args, observer: watcher };
    let policy = Policy::read(&node, &args).unwrap();
    let disks = bench.disks();
    let source: Arc<dyn DriveSource> = Arc::new(bench);
    let survey = match probe(&source, disks, &context, &policy) {
        Ok(survey) => survey,
        Err(error) => return Run { plans: Vec::new(), outcome: Err(error) },
    };
    let plans = survey.plans().into_iter().cloned().collect();
    Run { plans, outcome: carry_out(&source, survey, &policy, watcher).into_proofs() }
}

pub(super) fn run(bench: Bench, knobs: Value, args: Value) -> Run {
    run_observed(bench, knobs, args, &Watcher::default())
}

pub(super) fn methods(plan: &DevicePlan) -> Vec<&str> {
    plan.methods.iter().map(|method| method.method.as_str()).collect()
}
