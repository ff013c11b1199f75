//! Making arrays (IPA contract §5.6): plan, partition, create, and read back what the kernel made of it.

use serde::Serialize;
use serde_json::Value;
use tacit_blockdev::{Access, Device};
use tacit_model::{Proof, ProofResult};

use super::arrays::{self, Array};
use super::config::{RaidConfig, Volume};
use super::delete::identity;
use super::error::RaidError;
use super::job::Raid;
use super::layout::{Label, Purpose, Slot, Space, lay_out};
use super::mdadm::NewArray;
use super::members::{choose, is_uefi, label};
use super::superblock;
use super::survey::{Survey, disks, zero_edges};
use super::table;
use crate::chain::chain;

#[derive(Debug, Serialize)]
pub(super) struct CreatePlan {
    disks: Vec<PlannedDisk>,
    arrays: Vec<PlannedArray>,
    /// Volumes that are there already and stay.
    kept: Vec<String>,
}

#[derive(Debug, Serialize)]
struct PlannedDisk {
    device: String,
    serial: Option<String>,
    table: Label,
    partitions: Vec<Slot>,
    #[serde(skip)]
    survey: Survey,
}

#[derive(Debug, Serialize)]
struct PlannedArray {
    name: Option<String>,
    level: String,
    is_root_volume: bool,
    /// Partitions in the order of the array's slots.
    members: Vec<PlannedMember>,
    #[serde(skip)]
    volume: Volume,
}

#[derive(Debug, Serialize)]
struct PlannedMember {
    disk: String,
    partition: u32,
    start: u64,
    length: u64,
}

/// An array that was made.
pub(super) struct Made {
    pub(super) device: String,
    pub(super) is_root: Option<bool>,
    pub(super) proof: Proof,
}

/// What is gone by the time that the plan is carried out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cleared<'a> {
    pub(super) disks: &'a [&'a str],
    pub(super) arrays: &'a [&'a str],
}

/// Probes and decides, and touches nothing.
///
/// # Errors
///
/// [`RaidError::Refused`] with everything that stands against it.
pub(super) fn plan(
    raid: &Raid<'_>,
    mut config: RaidConfig,
    node: &Value,
    cleared: Cleared<'_>,
) -> Result<CreatePlan, RaidError> {
    let mut problems = Vec::new();
    let kept = take_kept(raid, &mut config, cleared, &mut problems);
    let usable = disks(raid.machine, &raid.skip).usable;
    let members = match choose(&config, &usable) {
        Ok(members) => members,
        Err(more) => {
            problems.extend(more);
            return Err(RaidError::Refused { problems });
        }
    };
    let uefi = is_uefi(raid.machine, node);
    let label = label(uefi, node);
    let (mut surveys, mut spaces) = (Vec::new(), Vec::new());
    for (number, disk) in usable.iter().enumerate() {
        // Disks that no volume uses are not looked at, and left as they are.
        if !members.iter().any(|disks| disks.contains(&number)) {
            continue;
        }
        match Survey::make(raid.machine, disk) {
            Ok(survey) => {
                problems.extend(obstacles(raid, &survey, cleared));
                let (size, sector) = (survey.size, survey.sector);
                spaces.push(Space { device: disk.name.clone(), size, sector, label, uefi });
                surveys.push((number, survey));
            }
            Err(error) => problems.push(chain(&error)),
        }
    }
    if !problems.is_empty() {
        return Err(RaidError::Refused { problems });
    }
    let position = |disk: &usize| {
        surveys.iter().position(|(number, _)| number == disk).expect("every member was surveyed")
    };
    let members: Vec<Vec<usize>> = members.iter().map(|disks| disks.iter().map(position).collect()).collect();
    let slots =
        lay_out(&config.volumes, &members, &spaces).map_err(|problems| RaidError::Refused { problems })?;
    let arrays = config
        .volumes
        .into_iter()
        .enumerate()
        .map(|(at, volume)| PlannedArray {
            name: volume.name.clone(),
            level: volume.level.kernel_name(),
            is_root_volume: volume.is_root == Some(true),
            members: members[at]
                .iter()
                .filter_map(|disk| {
                    let slot = slots[*disk].iter().find(|slot| slot.purpose == Purpose::Member(at))?;
                    let (partition, start, length) = (slot.number, slot.start, slot.length);
                    Some(PlannedMember { disk: spaces[*disk].device.clone(), partition, start, length })
                })
                .collect(),
            volume,
        })
        .collect();
    let disks = surveys
        .into_iter()
        .zip(slots)
        .map(|((_, survey), partitions)| PlannedDisk {
            device: survey.disk.name.clone(),
            serial: survey.disk.serial.clone(),
            table: label,
            partitions,
            survey,
        })
        .collect();
    Ok(CreatePlan { disks, arrays, kept })
}

/// Takes the volumes out that are there and that the skip list keeps.
fn take_kept(
    raid: &Raid<'_>,
    config: &mut RaidConfig,
    cleared: Cleared<'_>,
    problems: &mut Vec<String>,
) -> Vec<String> {
    if !raid.skip.has_volumes() {
        return Vec::new();
    }
    let standing: Vec<(Array, Option<String>)> = arrays::list(raid.machine)
        .into_iter()
        .filter(|array| !cleared.arrays.contains(&array.device.as_str()))
        .map(|array| {
            let name = identity(raid, &array).and_then(|found| found.short_name().map(str::to_owned));
            (array, name)
        })
        .collect();
    let mut kept = Vec::new();
    config.volumes.retain(|volume| {
        let same = standing.iter().find(|(_, name)| name.is_some() && *name == volume.name);
        let (Some((array, _)), Some(name)) = (same, &volume.name) else { return true };
        if array.level != volume.level.kernel_name() {
            problems.push(format!(
                "{name} is kept and is {}, not level {}",
                array.level,
                volume.level.number()
            ));
        }
        kept.push(name.clone());
        false
    });
    kept
}

/// What speaks against taking a disk.
fn obstacles(raid: &Raid<'_>, survey: &Survey, cleared: Cleared<'_>) -> Vec<String> {
    let name = &survey.disk.name;
    let mut problems: Vec<String> = raid.guard(name).into_iter().collect();
    if cleared.disks.contains(&name.as_str()) {
        return problems;
    }
    match survey.users(&[]) {
        Ok(users) => problems.extend(users),
        Err(error) => problems.push(chain(&error)),
    }
    if !survey.partitions.is_empty() {
        problems.push(format!("{name} has {} partitions; erase its metadata first", survey.partitions.len()));
    } else if !survey.superblocks.is_empty() {
        problems.push(format!("{name} belongs to an array; delete the RAID configuration first"));
    }
    problems
}

/// Carries a plan out. Each array comes with the proof that the kernel runs it as asked.
///
/// # Errors
///
/// [`RaidError`].
pub(super) fn create(raid: &Raid<'_>, plan: &CreatePlan) -> Result<Vec<Made>, RaidError> {
    let total = plan.disks.len() + plan.arrays.len();
    for (done, disk) in plan.disks.iter().enumerate() {
        raid.report("partition", &disk.device, done, total)?;
        partition(raid, disk, done)?;
    }
    let mut made = Vec::new();
    for (done, planned) in plan.arrays.iter().enumerate() {
        let device = arrays::free_device(raid.machine);
        raid.report("create", &device, plan.disks.len() + done, total)?;
        let name = planned.name.clone().unwrap_or_else(|| device.trim_start_matches("/dev/").to_owned());
        let mut members = Vec::new();
        for member in &planned.members {
            let node = arrays::await_partition(
                raid.machine,
                &member.disk,
                member.partition,
                member.start,
                member.length,
            )?;
            members.push(node);
        }
        let array = NewArray {
            node: raid.machine.device_node(&device),
            name,
            level: planned.volume.level.number(),
            metadata: "1",
            members,
        };
        raid.md.create(&array)?;
        let places: Vec<(&str, u64, u64)> = planned
            .members
            .iter()
            .map(|member| (member.disk.as_str(), member.start, member.length))
            .collect();
        made.push(Made {
            is_root: planned.volume.is_root,
            proof: prove(raid, &array, &device, &places)?,
            device,
        });
    }
    Ok(made)
}

fn partition(raid: &Raid<'_>, disk: &PlannedDisk, number: usize) -> Result<(), RaidError> {
    let failed = |source| RaidError::Device { device: disk.device.clone(), source };
    {
        let device = Device::open(&disk.survey.node, Access::Exclusive).map_err(failed)?;
        raid.touch();
        disk.survey.clear(&device).map_err(failed)?;
        // What an earlier owner left in the middle of the disk must not be the content of a partition.
        for slot in &disk.partitions {
            zero_edges(&device, slot.start, slot.length).map_err(failed)?;
        }
        table::write(&device, disk.table, &disk.partitions, number)?;
    }
    raid.md.reread(&disk.survey.node).map_err(failed)
}

/// Waits until the kernel runs the array with all of its members, and compares it and their superblocks with what was
/// asked for. `places` are the members' disks, offsets and lengths.
///
/// # Errors
///
/// [`RaidError::NotSeen`], [`RaidError::NotAsAsked`].
pub(super) fn prove(
    raid: &Raid<'_>,
    array: &NewArray,
    device: &str,
    places: &[(&str, u64, u64)],
) -> Result<Proof, RaidError> {
    let running = || {
        arrays::read(raid.machine, device).filter(|found| {
            !matches!(found.state.as_str(), "inactive" | "clear" | "suspended") && array.node.exists()
        })
    };
    let found = arrays::wait_for(running, || device.to_owned())?;
    for (member, node) in places.iter().zip(&array.members) {
        if !found.members.iter().any(|there| (there.disk.as_str(), there.start) == (member.0, member.1)) {
            tracing::warn!(array = device, member = %node.display(), "a member was left out, and is added");
            raid.md.add(&array.node, node)?;
        }
    }
    let found = arrays::read(raid.machine, device).unwrap_or(found);
    let mut problems = Vec::new();
    let level = format!("raid{}", array.level);
    if found.level != level {
        problems.push(format!("its level is {}, not {level}", found.level));
    }
    if found.raid_disks != places.len() as u64 {
        problems.push(format!("it has {} members, not {}", found.raid_disks, places.len()));
    }
    if found.size_bytes == 0 {
        problems.push("it has no size".to_owned());
    }
    if let Some(missing) = found.degraded.filter(|missing| *missing > 0) {
        problems.push(format!("{missing} of its members are missing"));
    }
    for (disk, start, _) in places {
        match found.members.iter().find(|member| (member.disk.as_str(), member.start) == (disk, *start)) {
            None => problems.push(format!("{disk} has no member")),
            Some(member) if member.state.contains("faulty") => {
                problems.push(format!("{} is faulty", member.device));
            }
            Some(_) => {}
        }
    }
    let uuid = check_superblocks(raid, array, places, &mut problems)?;
    if !problems.is_empty() {
        return Err(RaidError::NotAsAsked { array: device.to_owned(), problems });
    }
    let sync = found.sync_action.as_deref().unwrap_or("none");
    Ok(Proof {
        device: device.to_owned(),
        method: "raid-create".to_owned(),
        size: Some(found.size_bytes),
        actions: vec![format!("{level} named {} of {} members made", array.name, places.len())],
        verification: vec![
            format!(
                "the kernel runs it: {}, {} bytes, synchronisation: {sync}",
                found.state, found.size_bytes
            ),
            format!("superblocks of all members read from their disks: array {uuid}"),
        ],
        result: ProofResult::Proven,
        ..Proof::default()
    })
}

/// Reads each member's superblock from its disk; the array's identity.
fn check_superblocks(
    raid: &Raid<'_>,
    array: &NewArray,
    places: &[(&str, u64, u64)],
    problems: &mut Vec<String>,
) -> Result<String, RaidError> {
    let mut uuids = Vec::new();
    let mut numbers = Vec::new();
    for (disk, start, length) in places {
        let failed = |source| RaidError::Device { device: (*disk).to_owned(), source };
        let device = Device::open(&raid.machine.device_node(disk), Access::Read).map_err(failed)?;
        let found = superblock::find(&device, *start, *length).map_err(failed)?;
        let Some(found) = found.first() else {
            problems.push(format!("{disk} has no superblock of it"));
            continue;
        };
        if found.short_name() != Some(&array.name)
            || found.level.map(i32::cast_unsigned) != Some(array.level)
            || found.raid_disks != u32::try_from(places.len()).ok()
        {
            problems.push(format!("the superblock on {disk} tells of another array"));
        }
        uuids.push(found.uuid.clone().unwrap_or_default());
        numbers.push(found.device_number);
    }
    uuids.sort();
    uuids.dedup();
    numbers.sort_unstable();
    numbers.dedup();
    if uuids.len() != 1 || numbers.len() != places.len() {
        problems.push("its members' superblocks do not belong together".to_owned());
    }
    Ok(uuids.into_iter().next().unwrap_or_default())
}
