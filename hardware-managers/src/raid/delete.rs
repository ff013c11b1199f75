//! Removing arrays (IPA contract §5.6): probe, plan, execute, prove; a second pass for what the first uncovered.

use std::collections::BTreeSet;

use serde::Serialize;
use tacit_blockdev::{Access, Device, Error, holders};
use tacit_model::{ProgressUnit, Proof, ProofResult};

use super::arrays::{self, Array};
use super::error::RaidError;
use super::job::Raid;
use super::judge::{Fate, PlannedArray, judge, kept_for};
use super::parts::parts;
use super::start::start_with;
use super::superblock::Superblock;
use super::survey::{Survey, disks, reads_as_zeros, zero_edges};
use crate::chain::chain;

/// Stopping one array can let another one start that shared its disks.
const PASSES: usize = 2;

#[derive(Debug, Serialize)]
pub(super) struct PlannedDisk {
    pub(super) device: String,
    pub(super) serial: Option<String>,
    pub(super) fate: Fate,
    pub(super) reason: String,
    pub(super) superblocks: Vec<Superblock>,
    /// All of them are removed with the arrays'.
    pub(super) partitions: usize,
    #[serde(skip)]
    survey: Survey,
}

#[derive(Debug, Serialize)]
pub(super) struct DeletePlan {
    pub(super) arrays: Vec<PlannedArray>,
    pub(super) disks: Vec<PlannedDisk>,
}

impl std::fmt::Debug for Survey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Survey").field("disk", &self.disk.name).finish_non_exhaustive()
    }
}

impl DeletePlan {
    fn with(&self, fate: Fate) -> impl Iterator<Item = &PlannedDisk> {
        self.disks.iter().filter(move |disk| disk.fate == fate)
    }

    /// Whether there is nothing to do.
    fn is_empty(&self) -> bool {
        self.with(Fate::Delete).next().is_none() && self.arrays.iter().all(|array| array.fate == Fate::Keep)
    }

    /// Disks on which nothing is left afterwards.
    pub(super) fn cleared(&self) -> Vec<&str> {
        self.with(Fate::Delete).map(|disk| disk.device.as_str()).collect()
    }
}

/// Probes and decides, and touches nothing.
///
/// # Errors
///
/// [`RaidError::Refused`] with everything that stands against it.
pub(super) fn plan(raid: &Raid<'_>) -> Result<DeletePlan, RaidError> {
    let disks = disks(raid.machine, &raid.skip);
    let mut problems = Vec::new();
    let mut surveys = Vec::new();
    for disk in &disks.usable {
        match Survey::make(raid.machine, disk) {
            Ok(survey) => surveys.push((disk, survey)),
            Err(error) => problems.push(chain(&error)),
        }
    }
    let mine = |name: &String| {
        disks.usable.iter().chain(&disks.out_of_reach).any(|disk| disk.name == *name)
            || name.starts_with("/dev/md")
    };
    let others = parts(raid.machine).into_iter().filter(|part| !mine(&part.disk));
    let elsewhere: BTreeSet<String> = others.map(|part| part.uuid).collect();
    // What is kept need not run.
    let named = surveys.iter().filter(|(_, survey)| kept_for(raid, survey, &elsewhere).is_some());
    let named: BTreeSet<&str> = named.map(|(disk, _)| disk.name.as_str()).collect();
    let arrays = judge(raid, &disks, &named);
    let protected: BTreeSet<&str> = arrays
        .iter()
        .filter(|array| array.fate != Fate::Delete)
        .flat_map(|array| array.array.members.iter().map(|member| member.disk.as_str()))
        .collect();
    let deleted: Vec<&PlannedArray> = arrays.iter().filter(|array| array.fate == Fate::Delete).collect();
    let nodes: Vec<&str> = arrays.iter().map(|array| array.array.device.as_str()).collect();

    for array in &deleted {
        let members = array.array.members.iter().filter(|member| disks.is_out_of_reach(&member.disk));
        problems.extend(members.map(|member| {
            format!(
                "{} has a member on {}, from which nothing can be removed: it takes no writes or is no plain disk",
                array.array.device, member.disk
            )
        }));
    }
    for planned in arrays.iter().filter(|array| array.fate != Fate::Keep) {
        if planned.array.metadata.starts_with("external") {
            problems.push(format!("{} has a superblock of another kind than md's", planned.array.device));
        }
        match array_users(raid, &planned.array, &nodes) {
            Ok(users) => problems.extend(users),
            Err(error) => problems.push(chain(&error)),
        }
        if let Some(problem) = raid.guard(&planned.array.device) {
            problems.push(problem);
        }
    }
    for disk in &disks.out_of_reach {
        let runs = |array: &PlannedArray| array.array.members.iter().any(|part| part.disk == disk.name);
        match Survey::make(raid.machine, disk) {
            Ok(survey) if survey.superblocks.is_empty() || arrays.iter().any(runs) => {}
            Ok(survey) if kept_for(raid, &survey, &elsewhere).is_some() => {}
            Ok(_) => problems.push(format!(
                "{} holds a part of an array, and nothing can be removed from it: it takes no writes or is no plain disk",
                disk.name
            )),
            Err(error) if arrays.iter().any(runs) => problems.push(chain(&error)),
            // A medium without its server, a unit without a path: nothing of it is in the way.
            Err(error) => tracing::warn!("{} cannot be read and is left alone: {}", disk.name, chain(&error)),
        }
    }
    let mut planned = Vec::new();
    for (disk, survey) in surveys {
        let holds = deleted.iter().any(|array| array.array.members.iter().any(|part| part.disk == disk.name));
        if survey.superblocks.is_empty() && !holds {
            continue;
        }
        let kept = kept_for(raid, &survey, &elsewhere);
        let (fate, reason) = if protected.contains(disk.name.as_str()) {
            (Fate::Keep, "holds an array that stays".to_owned())
        } else if let Some(reason) = kept {
            (Fate::Keep, reason)
        } else {
            (Fate::Delete, "holds members of arrays that are removed".to_owned())
        };
        if fate == Fate::Delete {
            match survey.users(&nodes) {
                Ok(users) => problems.extend(users),
                Err(error) => problems.push(chain(&error)),
            }
            problems.extend(raid.guard(&disk.name));
        }
        planned.push(PlannedDisk {
            device: disk.name.clone(),
            serial: disk.serial.clone(),
            fate,
            reason,
            superblocks: survey.superblocks.clone(),
            partitions: survey.partitions.len(),
            survey,
        });
    }
    if problems.is_empty() {
        Ok(DeletePlan { arrays, disks: planned })
    } else {
        Err(RaidError::Refused { problems })
    }
}

/// Mounts, swap and foreign devices upon an array; arrays upon arrays are removed, too.
fn array_users(raid: &Raid<'_>, array: &Array, arrays: &[&str]) -> Result<Vec<String>, Error> {
    let upon: Vec<String> = array
        .holders
        .iter()
        .filter(|holder| !arrays.contains(&holder.as_str()))
        .map(|holder| format!("{} is part of {holder}", array.device))
        .collect();
    let node = raid.machine.device_node(&array.device);
    if !raid.machine.roots().is_real() || !node.exists() {
        return Ok(upon);
    }
    let is_other = |text: &String| !arrays.iter().any(|array| text.ends_with(&format!(" {array}")));
    let mut users: Vec<String> = holders(&node)?.iter().map(ToString::to_string).filter(is_other).collect();
    // Not every use is listed: asked for now, it costs no array that would be stopped before this one refuses.
    if users.is_empty() && array.holders.is_empty() && array.size_bytes > 0 {
        match Device::open(&node, Access::Exclusive) {
            Ok(_) => {}
            Err(error @ Error::InUse { .. }) => users.push(error.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(users)
}

/// Removes everything that the plan names and proves that it is gone.
///
/// # Errors
///
/// [`RaidError`]; [`RaidError::Left`] when something came back twice.
pub(super) fn delete(raid: &Raid<'_>) -> Result<Vec<Proof>, RaidError> {
    let mut proofs = Vec::new();
    let mut left = Vec::new();
    for _ in 0..PASSES {
        start_with(raid.machine, &raid.skip, raid.md);
        let plan = plan(raid)?;
        if plan.is_empty() {
            return Ok(proofs);
        }
        left = pass(raid, &plan, &mut proofs)?;
        // What only had its content removed stays, and is no reason for another pass.
        if left.is_empty() {
            return Ok(proofs);
        }
    }
    Err(RaidError::Left { left })
}

/// One pass; what is left, in words.
fn pass(raid: &Raid<'_>, plan: &DeletePlan, proofs: &mut Vec<Proof>) -> Result<Vec<String>, RaidError> {
    let total = plan.arrays.len() + plan.disks.len();
    let mut left = Vec::new();
    let order = uppermost_first(&plan.arrays);
    for (done, planned) in order.into_iter().enumerate() {
        raid.report("delete", &planned.array.device, done, total)?;
        if planned.fate == Fate::Keep {
            continue;
        }
        let mut actions = forget_content(raid, &planned.array)?;
        let mut verification = Vec::new();
        if planned.fate == Fate::Delete {
            raid.touch();
            raid.md.stop(&raid.machine.device_node(&planned.array.device))?;
            let gone = || arrays::read(raid.machine, &planned.array.device).is_none().then_some(());
            match arrays::wait_for(gone, || format!("the end of {}", planned.array.device)) {
                Ok(()) => {
                    actions.push("stopped".to_owned());
                    verification.push("the kernel shows no such array".to_owned());
                }
                Err(error) => left.push(chain(&error)),
            }
        } else {
            verification.push("first and last MiB read back as zeros".to_owned());
        }
        proofs.push(Proof {
            device: planned.array.device.clone(),
            method: "raid-delete".to_owned(),
            size: Some(planned.array.size_bytes),
            actions,
            verification,
            result: ProofResult::Proven,
            ..Proof::default()
        });
    }
    for (done, planned) in plan.with(Fate::Delete).enumerate() {
        raid.report("delete", &planned.device, plan.arrays.len() + done, total)?;
        let failed = |source| RaidError::Device { device: planned.device.clone(), source };
        raid.touch();
        let actions = {
            let device = Device::open(&planned.survey.node, Access::Exclusive).map_err(failed)?;
            planned.survey.clear(&device).map_err(failed)?
        };
        raid.md.reread(&planned.survey.node).map_err(failed)?;
        let found = planned.survey.left(raid.machine).map_err(failed)?;
        if !found.is_empty() {
            left.extend(found);
            continue;
        }
        let disk = &planned.survey.disk;
        // A second pass may come to the same disk.
        proofs.retain(|proof| proof.device != disk.name);
        proofs.push(Proof {
            device: disk.name.clone(),
            serial: disk.serial.clone(),
            model: disk.model.clone(),
            wwn: disk.wwn.clone(),
            size: Some(disk.size),
            method: "raid-delete".to_owned(),
            actions,
            verification: vec![
                "no md superblock, no partition table, all edges read back as zeros".to_owned(),
            ],
            result: ProofResult::Proven,
            ..Proof::default()
        });
    }
    let names: Vec<&str> = plan
        .arrays
        .iter()
        .filter(|array| array.fate == Fate::Delete)
        .map(|array| array.array.device.as_str())
        .collect();
    let standing = arrays::list(raid.machine);
    left.extend(
        standing
            .iter()
            .filter(|array| names.contains(&array.device.as_str()))
            .map(|array| array.device.clone()),
    );
    left.sort();
    left.dedup();
    raid.observer.progress("delete", "", total as u64, total as u64, ProgressUnit::Regions);
    Ok(left)
}

/// Arrays before those that they are built upon.
fn uppermost_first(arrays: &[PlannedArray]) -> Vec<&PlannedArray> {
    let mut rest: Vec<&PlannedArray> = arrays.iter().collect();
    let mut ordered = Vec::with_capacity(rest.len());
    while !rest.is_empty() {
        let free = rest.iter().position(|array| {
            !array.array.holders.iter().any(|holder| rest.iter().any(|other| other.array.device == *holder))
        });
        ordered.push(rest.remove(free.unwrap_or(0)));
    }
    ordered
}

/// Zeroes both ends of a running array, so that no file system of it is recognised in a later array at the same place.
fn forget_content(raid: &Raid<'_>, array: &Array) -> Result<Vec<String>, RaidError> {
    if array.size_bytes == 0 || matches!(array.state.as_str(), "inactive" | "clear") {
        return Ok(vec!["not running: its content is out of reach".to_owned()]);
    }
    let failed = |source| RaidError::Device { device: array.device.clone(), source };
    let node = raid.machine.device_node(&array.device);
    let size = {
        // Refused while it is mounted or held, whatever was seen before.
        let device = Device::open(&node, Access::Exclusive).map_err(failed)?;
        raid.touch();
        zero_edges(&device, 0, device.size_bytes()).map_err(failed)?;
        device.flush().map_err(failed)?;
        device.size_bytes()
    };
    let device = Device::open(&node, Access::Read).map_err(failed)?;
    let edge = size.min(1 << 20);
    for offset in [0, size - edge] {
        if !reads_as_zeros(&device, offset, edge).map_err(failed)? {
            let problems = vec![format!("{edge} bytes at offset {offset} do not read back as zeros")];
            return Err(RaidError::NotAsAsked { array: array.device.clone(), problems });
        }
    }
    Ok(vec!["first and last MiB zeroed".to_owned()])
}
