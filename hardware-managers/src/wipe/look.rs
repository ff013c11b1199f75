//! One look at one disk.

use std::sync::Arc;

use tacit_blockdev::{Access, Device, Error};
use tacit_model::BlockDevice;

use super::above::{SUSPENDED, is_suspended, shared_above};
use super::arrays::{self, Member};
use super::guard::{Finding, FindingKind, reserved};
use super::kept::{kept_volume, listed};
use super::plan::Plan;
use super::probe::Follow;
use super::skip::SkipList;
use super::stack::BlockGraph;
use super::{media, same};
use crate::chain::chain;
use crate::machine::{Machine, is_virtual_medium, read_flag};

/// Of a disk without any sector.
const NO_SIZE: &str = "reports no size, as drives do that have failed";

/// What it yields.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) findings: Vec<Finding>,
    /// `None` where it could not be read, or need not be.
    pub(super) plan: Option<Plan>,
    pub(super) members: Vec<Member>,
    /// As the kernel shows it.
    pub(super) seen: Option<BlockDevice>,
}

impl Look {
    fn add(&mut self, kind: FindingKind, reason: impl Into<String>) {
        self.findings.push(Finding::new(kind, reason));
    }
}

/// Looks at disks, at each in a thread that may never come back.
#[derive(Clone)]
pub(super) struct Looker {
    pub(super) machine: Machine,
    pub(super) graph: Arc<BlockGraph>,
    pub(super) skip: SkipList,
    /// Whether file systems that other machines may use are left alone.
    pub(super) guarded: bool,
}

impl Looker {
    pub(super) fn look(&self, disk: &BlockDevice) -> Look {
        let mut look = self.begin(disk);
        look.seen = same::seen(&self.machine, &disk.name);
        match kept_volume(&self.machine, &self.skip, &disk.name) {
            Ok(None) => {}
            Ok(Some(array)) => {
                let entry = array.entry;
                let reason = format!("the array {entry}, which skip_block_devices names: its content stays");
                look.add(FindingKind::Array, reason);
            }
            Err(error) => look.add(FindingKind::Unreadable, chain(&error)),
        }
        let name = disk.name.trim_start_matches("/dev/").replace('/', "!");
        let folder = self.machine.roots().sys.join("block").join(name);
        if read_flag(&folder.join("ro")) {
            look.add(FindingKind::ReadOnly, "read-only");
        }
        if is_virtual_medium(&folder) {
            look.add(FindingKind::VirtualMedium, "a virtual medium of the BMC");
        }
        if disk.size == 0 {
            look.add(FindingKind::Unreadable, NO_SIZE);
        } else if self.graph.get(&disk.name).is_some_and(is_suspended) {
            look.add(FindingKind::Unreadable, SUSPENDED);
        } else if let Err(error) = self.read(disk, &mut look) {
            look.add(FindingKind::Unreadable, chain(&error));
        }
        look
    }

    /// Of a disk that gave no answer.
    pub(super) fn not_read(&self, disk: &BlockDevice, problem: String) -> Look {
        let mut look = self.begin(disk);
        look.add(FindingKind::Unreadable, problem);
        look
    }

    fn begin(&self, disk: &BlockDevice) -> Look {
        let mut look = Look::default();
        if listed(&self.machine, &self.skip, disk) {
            look.add(FindingKind::Listed, "named by skip_block_devices");
        }
        look
    }

    fn read(&self, disk: &BlockDevice, look: &mut Look) -> Result<(), Error> {
        let device = Device::open(&self.machine.device_node(&disk.name), Access::Read)?;
        if device.is_block_device() && device.is_read_only() {
            look.add(FindingKind::ReadOnly, "the device takes no writes");
        }
        if device.size_bytes() == 0 {
            look.add(FindingKind::Unreadable, NO_SIZE);
            return Ok(());
        }
        let label = media::parameter_label(&device)?;
        if label.is_lent(disk) {
            look.add(FindingKind::VirtualMedium, "virtual medium with parameters");
        }
        if let Some(reason) = reserved(&self.machine, &disk.name, self.guarded) {
            look.add(FindingKind::Reserved, reason);
        }
        let mut plan = Plan::make(&device, Follow::Copies)?;
        plan.pretends = label.remark();
        if self.guarded {
            let above = self.graph.get(&disk.name).map(|block| self.graph.above(block)).unwrap_or_default();
            match shared_above(&self.machine, &above) {
                Ok(content) => plan.shared_above = content,
                Err(problem) => look.add(FindingKind::Unreadable, problem),
            }
        }
        look.members = arrays::members(&device, &disk.name, &plan)?;
        look.plan = Some(plan);
        Ok(())
    }
}
