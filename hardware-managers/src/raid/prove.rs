//! Reading back what mdadm and the kernel made of an array.

use tacit_blockdev::{Access, Device};
use tacit_model::{Proof, ProofResult};

use super::arrays;
use super::error::RaidError;
use super::job::Raid;
use super::mdadm::NewArray;
use super::superblock;

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
