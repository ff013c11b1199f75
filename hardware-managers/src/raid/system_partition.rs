//! Places for copies of the EFI system partition on the disks of an array (IPA contract §5.6). Firmware knows no md:
//! each disk has a plain partition that firmware reads, and an array of format 1.0, whose superblock lies at the end,
//! keeps them alike for the system.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use tacit_blockdev::{Access, Device};

use super::SYSTEM_PARTITION;
use super::arrays::{self, Array};
use super::error::RaidError;
use super::identity::identity;
use super::job::Raid;
use super::mdadm::{Mdadm, NewArray};
use super::prove::prove;
use crate::chain::chain;
use crate::machine::Machine;
use crate::managers::Silent;
use crate::partitions::{Partition, read_valid};
use crate::wipe::SkipList;

/// A partition of half a GiB is made alike within that time on any disk that is not about to fail.
const SETTLED: Duration = Duration::from_secs(1800);
const LOOK: Duration = Duration::from_millis(200);

/// A partition that takes a copy.
pub(crate) struct Replica {
    pub(crate) disk: String,
    /// Of the disk.
    pub(crate) node: PathBuf,
    pub(crate) partition: Partition,
}

/// The partitions, and the array over them.
pub(crate) struct Replicas {
    pub(crate) array: String,
    pub(crate) places: Vec<Replica>,
}

/// Whether a disk is an array of ours to begin with.
pub(crate) fn is_array(machine: &Machine, disk: &str) -> bool {
    arrays::read(machine, disk).is_some()
}

/// Finds the partitions beside an array's members, and the array over them, which is made where there is none: from then
/// on disks are `touched`.
///
/// # Errors
///
/// What is missing, in words.
pub(crate) fn replicas(machine: &Machine, array: &str, touched: &mut bool) -> Result<Replicas, String> {
    find_or_make(machine, array, touched).map_err(|error| chain(&error))
}

fn find_or_make(machine: &Machine, array: &str, touched: &mut bool) -> Result<Replicas, RaidError> {
    let problem = |problem: String| RaidError::SystemPartition { problem };
    let root = arrays::read(machine, array).ok_or_else(|| problem(format!("{array} is no array")))?;
    let mut places = Vec::new();
    for member in &root.members {
        let node = machine.device_node(&member.disk);
        let failed = |source| RaidError::Device { device: member.disk.clone(), source };
        let device = Device::open(&node, Access::Read).map_err(failed)?;
        let table = read_valid(&device).map_err(failed)?.unwrap_or_default();
        let partition = table.into_iter().find(|part| super::table::is_system_partition(part.kind));
        let partition = partition.ok_or_else(|| {
            problem(format!(
                "{} has no partition for it: the array was made for a machine without UEFI",
                member.disk
            ))
        })?;
        places.push(Replica { disk: member.disk.clone(), node, partition });
    }
    let raid = Raid {
        machine,
        md: &Mdadm,
        skip: SkipList::default(),
        observer: &Silent,
        guarded: true,
        touched: AtomicBool::new(false),
    };
    let on_places = |array: &Array| {
        array.members.len() == places.len()
            && array.members.iter().all(|member| {
                places
                    .iter()
                    .any(|place| (&place.disk, place.partition.start) == (&member.disk, member.start))
            })
    };
    if let Some(standing) = arrays::list(machine).into_iter().find(on_places) {
        let named = identity(machine, &standing)
            .is_some_and(|found| found.short_name() == Some(SYSTEM_PARTITION) && found.version == "1.0");
        if !named || standing.level != "raid1" {
            return Err(problem(format!("{} lies in its place", standing.device)));
        }
        return Ok(Replicas { array: standing.device, places });
    }
    let device = arrays::free_device(machine);
    let mut members = Vec::new();
    for place in &places {
        let part = &place.partition;
        members.push(arrays::await_partition(machine, &place.disk, part.number, part.start, part.length)?);
    }
    let wanted = NewArray {
        node: machine.device_node(&device),
        name: SYSTEM_PARTITION.to_owned(),
        level: 1,
        metadata: "1.0",
        members,
    };
    *touched = true;
    raid.md.create(&wanted)?;
    let at: Vec<(&str, u64, u64)> = places
        .iter()
        .map(|place| (place.disk.as_str(), place.partition.start, place.partition.length))
        .collect();
    prove(&raid, &wanted, &device, &at)?;
    Ok(Replicas { array: device, places })
}

/// Waits until all members of an array are alike.
///
/// # Errors
///
/// When that takes too long, in words.
pub(crate) fn settle(machine: &Machine, array: &str) -> Result<(), String> {
    let end = Instant::now() + SETTLED;
    loop {
        let found = arrays::read(machine, array).ok_or_else(|| format!("{array} is gone"))?;
        if found.degraded.unwrap_or_default() > 0 {
            return Err(format!("{array} has lost a member"));
        }
        if found.sync_action.as_deref().is_none_or(|action| action == "idle") {
            return Ok(());
        }
        if Instant::now() >= end {
            return Err(format!("the members of {array} are not alike after {} s", SETTLED.as_secs()));
        }
        thread::sleep(LOOK);
    }
}
