//! Making arrays (IPA contract §5.6): plan, partition, create, and read back what the kernel made of it.

use serde::Serialize;
use serde_json::Value;
use tacit_blockdev::{Access, Device};
use tacit_model::Proof;

use super::arrays::{self, Array};
use super::config::{RaidConfig, Volume};
use super::error::RaidError;
use super::identity::identity;
use super::job::Raid;
use super::layout::{Label, Purpose, Slot, Space, lay_out};
use super::mdadm::NewArray;
use super::members::{choose, is_uefi, label};
use super::prove::prove;
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
            let name = identity(raid.machine, &array).and_then(|found| found.short_name().map(str::to_owned));
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

/// What was begun, to be taken back when the rest fails.
#[derive(Debug, Default)]
struct Begun {
    /// How many of the plan's disks.
    disks: usize,
    arrays: Vec<String>,
}

/// Carries a plan out. Each array comes with the proof that the kernel runs it as asked. What was begun is taken back
/// when the rest fails: the disks were empty before, and a second attempt is to find them so.
///
/// # Errors
///
/// [`RaidError`]; [`RaidError::Unfinished`] when something of it is left.
pub(super) fn create(raid: &Raid<'_>, plan: &CreatePlan) -> Result<Vec<Made>, RaidError> {
    let mut begun = Begun::default();
    build(raid, plan, &mut begun).map_err(|error| {
        let left = take_back(raid, plan, &begun);
        if left.is_empty() { error } else { RaidError::Unfinished { error: Box::new(error), left } }
    })
}

fn build(raid: &Raid<'_>, plan: &CreatePlan, begun: &mut Begun) -> Result<Vec<Made>, RaidError> {
    let total = plan.disks.len() + plan.arrays.len();
    for (done, disk) in plan.disks.iter().enumerate() {
        raid.report("partition", &disk.device, done, total)?;
        partition(raid, disk, done, begun)?;
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
        begun.arrays.push(device.clone());
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

/// Stops the arrays and empties the disks again; what is left, in words.
fn take_back(raid: &Raid<'_>, plan: &CreatePlan, begun: &Begun) -> Vec<String> {
    let mut left = Vec::new();
    for device in begun.arrays.iter().rev() {
        if arrays::read(raid.machine, device).is_none() {
            continue;
        }
        let stopped =
            raid.md.stop(&raid.machine.device_node(device)).map_err(RaidError::from).and_then(|()| {
                let gone = || arrays::read(raid.machine, device).is_none().then_some(());
                arrays::wait_for(gone, || format!("the end of {device}"))
            });
        if let Err(error) = stopped {
            left.push(format!("{device}: {}", chain(&error)));
        }
    }
    for disk in &plan.disks[..begun.disks] {
        match empty(raid, disk) {
            Ok(found) => left.extend(found),
            Err(error) => left.push(format!("{}: {}", disk.device, chain(&error))),
        }
    }
    left
}

fn empty(raid: &Raid<'_>, disk: &PlannedDisk) -> Result<Vec<String>, tacit_blockdev::Error> {
    let now = Survey::make(raid.machine, &disk.survey.disk)?;
    now.clear(&Device::open(&now.node, Access::Exclusive)?)?;
    raid.md.reread(&now.node)?;
    now.left(raid.machine)
}

fn partition(raid: &Raid<'_>, disk: &PlannedDisk, number: usize, begun: &mut Begun) -> Result<(), RaidError> {
    let failed = |source| RaidError::Device { device: disk.device.clone(), source };
    {
        let device = Device::open(&disk.survey.node, Access::Exclusive).map_err(failed)?;
        raid.touch();
        begun.disks = number + 1;
        disk.survey.clear(&device).map_err(failed)?;
        // What an earlier owner left in the middle of the disk must not be the content of a partition.
        for slot in &disk.partitions {
            zero_edges(&device, slot.start, slot.length).map_err(failed)?;
        }
        table::write(&device, disk.table, &disk.partitions, number)?;
    }
    raid.md.reread(&disk.survey.node).map_err(failed)
}
