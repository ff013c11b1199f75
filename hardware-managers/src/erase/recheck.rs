//! Looking again, right before a device is touched: hours may lie between its plan and its turn.

use std::sync::Arc;

use tacit_blockdev::{Access, Drive};
use tacit_model::BlockDevice;

use super::error::EraseError;
use super::execute::Job;
use super::plan::obstacles;
use super::policy::Policy;
use super::source::DriveSource;
use crate::drives::DriveFacts;
use crate::wipe::{SkipList, ask};

/// What the guards of a whole run are asked with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) skip: SkipList,
    /// Names of all devices that are to be erased in this run.
    pub(crate) erased: Vec<String>,
    /// All disks that there are for this run: listing them takes time, and more of it when one is ill.
    pub(crate) disks: Vec<BlockDevice>,
}

/// What a drive says of itself.
pub(super) fn asked(source: &dyn DriveSource, drive: &dyn Drive, disk: &BlockDevice) -> DriveFacts {
    ask(drive, source.kind(disk), disk.tran.as_deref() == Some("usb"))
}

/// Opens the device for nobody else, once it is the drive of the plan and the guards still find nothing against it.
///
/// # Errors
///
/// [`EraseError::Device`], and those of a plan that holds no longer.
pub(crate) fn take(
    source: &dyn DriveSource,
    job: &Job,
    policy: &Policy,
) -> Result<Arc<dyn Drive>, EraseError> {
    let drive = source.open(&job.disk, Access::Exclusive)?;
    look_again(source, drive.as_ref(), job, policy)?;
    Ok(drive)
}

/// The same, of a device that is open.
///
/// # Errors
///
/// As [`same_drive`], [`EraseError::Guarded`].
pub(super) fn look_again(
    source: &dyn DriveSource,
    drive: &dyn Drive,
    job: &Job,
    policy: &Policy,
) -> Result<(), EraseError> {
    let facts = same_drive(source, drive, job)?;
    still_free(source, &job.disk, &job.scope, &facts, policy)
}

/// Names change when drives are pulled and put back; the plan is for one drive. Returns what it says of itself now.
///
/// # Errors
///
/// [`EraseError::Swapped`], [`EraseError::Resized`].
pub(super) fn same_drive(
    source: &dyn DriveSource,
    drive: &dyn Drive,
    job: &Job,
) -> Result<DriveFacts, EraseError> {
    let (before, now) = (&job.facts, asked(source, drive, &job.disk));
    for (wanted, found) in [(&before.serial, &now.serial), (&before.wwn, &now.wwn)] {
        if let Some(wanted) = wanted
            && found.as_ref() != Some(wanted)
        {
            let found = found.clone().unwrap_or_else(|| "none".to_owned());
            return Err(EraseError::Swapped { wanted: wanted.clone(), found });
        }
    }
    let (before, after) = (job.disk.size, drive.size_bytes());
    if before != after {
        return Err(EraseError::Resized { before, after });
    }
    Ok(now)
}

/// Asks the guards of the plan once more.
///
/// # Errors
///
/// [`EraseError::Guarded`] with what has come in the way meanwhile.
fn still_free(
    source: &dyn DriveSource,
    disk: &BlockDevice,
    scope: &Scope,
    facts: &DriveFacts,
    policy: &Policy,
) -> Result<(), EraseError> {
    let findings = source.findings(disk, scope);
    let reasons = obstacles(facts, policy, &findings);
    if reasons.is_empty() { Ok(()) } else { Err(EraseError::Guarded { reasons: reasons.join("; ") }) }
}

/// Opens what else a command reaches, or the device is reached by, so that the kernel lets nobody mount it meanwhile, and
/// asks the guards of each once more.
///
/// # Errors
///
/// [`EraseError::Device`] for one that is in use, [`EraseError::Guarded`].
pub(super) fn hold<'a>(
    source: &dyn DriveSource,
    job: &Job,
    policy: &Policy,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<Arc<dyn Drive>>, EraseError> {
    let guarded = |name: &str, reasons: &str| EraseError::Guarded { reasons: format!("{name}: {reasons}") };
    let take = |name: &str| {
        let disk = job.scope.disks.iter().find(|disk| disk.name == name);
        let disk = disk.ok_or_else(|| guarded(name, "not among the disks that this agent may touch"))?;
        let drive = source.open(disk, Access::Exclusive)?;
        let facts = asked(source, drive.as_ref(), disk);
        match still_free(source, disk, &job.scope, &facts, policy) {
            Err(EraseError::Guarded { reasons }) => Err(guarded(name, &reasons)),
            outcome => outcome.map(|()| drive),
        }
    };
    names.map(take).collect()
}
