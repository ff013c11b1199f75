//! What the skip list means for arrays (IPA contract §5.5).

use std::collections::BTreeSet;

use serde::Serialize;

use super::SYSTEM_PARTITION;
use super::arrays::{self, Array};
use super::identity::identity;
use super::job::Raid;
use super::survey::{Disks, Survey};

/// What is to become of an array or a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fate {
    /// Stopped, its superblocks and the tables of its disks removed.
    Delete,
    /// Its content is forgotten; the array stays.
    Wipe,
    Keep,
}

#[derive(Debug, Serialize)]
pub(super) struct PlannedArray {
    pub(super) array: Array,
    pub(super) name: Option<String>,
    pub(super) fate: Fate,
    pub(super) reason: String,
}

/// Why the arrays on a disk stay, by its superblocks: the skip list names one, or `elsewhere`, the arrays with a part on a
/// disk that is kept out, has one. They need not run.
pub(super) fn kept_for(raid: &Raid<'_>, survey: &Survey, elsewhere: &BTreeSet<String>) -> Option<String> {
    let mut names = survey.superblocks.iter().filter_map(|found| found.name.as_deref());
    if let Some(name) = names.find(|name| raid.skip.keeps_volume(name)) {
        return Some(format!("holds a part of {name}, named by skip_block_devices"));
    }
    let mut uuids = survey.superblocks.iter().filter_map(|found| found.uuid.as_ref());
    uuids
        .any(|uuid| elsewhere.contains(uuid))
        .then(|| "holds a part of an array with another one on a disk that is kept out".to_owned())
}

/// The skip list's meaning for arrays (IPA contract §5.5). `named` are disks with a part of an array that it names.
pub(super) fn judge(raid: &Raid<'_>, disks: &Disks, named: &BTreeSet<&str>) -> Vec<PlannedArray> {
    let mut judged: Vec<PlannedArray> = arrays::list(raid.machine)
        .into_iter()
        .map(|array| {
            let name = identity(raid.machine, &array).and_then(|found| found.name);
            let member = |is_it: &dyn Fn(&str) -> bool| {
                array.members.iter().find(|member| is_it(&member.disk)).map(|member| member.disk.clone())
            };
            let on_skipped = member(&|disk| disks.skipped.iter().any(|skipped| skipped.name == disk));
            let (fate, reason) = if name.as_deref().is_some_and(|name| raid.skip.keeps_volume(name)) {
                (Fate::Keep, "named by skip_block_devices".to_owned())
            } else if let Some(disk) = on_skipped {
                (Fate::Keep, format!("has a member on {disk}, named by skip_block_devices"))
            } else if let Some(disk) = member(&|disk| !disks.has(disk)) {
                (Fate::Keep, format!("has a member on {disk}, which is none of this machine's disks"))
            } else {
                (Fate::Delete, "not named by skip_block_devices".to_owned())
            };
            PlannedArray { array, name, fate, reason }
        })
        .collect();
    // One that shares a disk with an array that stays cannot be deleted without harm to that; then it stays as well.
    loop {
        let staying = judged.iter().filter(|array| array.fate != Fate::Delete);
        let staying: BTreeSet<String> = staying
            .flat_map(|array| array.array.members.iter().map(|member| member.disk.clone()))
            .chain(named.iter().map(|disk| (*disk).to_owned()))
            .collect();
        let next = judged.iter_mut().filter(|array| array.fate == Fate::Delete).find_map(|array| {
            let member = array.array.members.iter().find(|member| staying.contains(&member.disk))?;
            let disk = member.disk.clone();
            Some((array, disk))
        });
        let Some((array, disk)) = next else { return judged };
        array.reason = format!("shares {disk} with an array that stays");
        let is_system = array.name.as_deref().is_some_and(|name| short(name) == SYSTEM_PARTITION);
        array.fate = if is_system { Fate::Keep } else { Fate::Wipe };
    }
}

fn short(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(_, short)| short)
}
