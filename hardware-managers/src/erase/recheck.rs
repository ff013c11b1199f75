//! Looking again, right before a device is touched: hours may lie between its plan and its turn.

use std::sync::Arc;

use tacit_blockdev::{Access, Drive};
use tacit_model::BlockDevice;

use super::error::EraseError;
use super::execute::Job;
use super::plan::obstacles;
use super::policy::Policy;
use super::source::DriveSource;
use crate::drives::{DriveFacts, identify};
use crate::wipe::SkipList;

/// What the guards of a whole run are asked with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub(crate) skip: SkipList,
    /// Names of all devices that are to be erased in this run.
    pub(crate) erased: Vec<String>,
}

/// What a drive says of itself.
pub(super) fn asked(source: &dyn DriveSource, drive: &dyn Drive, disk: &BlockDevice) -> DriveFacts {
    let mut facts = identify(drive, source.kind(disk));
    if disk.tran.as_deref() == Some("usb") {
        // No other machine is at the end of that cable, and many bridges choke on the question.
        facts.silent.retain(|question| !question.starts_with("reservations"));
    }
    facts
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
    let facts = same_drive(source, drive.as_ref(), job)?;
    still_free(source, job, &facts, policy)?;
    Ok(drive)
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
    job: &Job,
    facts: &DriveFacts,
    policy: &Policy,
) -> Result<(), EraseError> {
    let findings = source.findings(&job.disk, &job.scope.skip, &job.scope.erased);
    let reasons = obstacles(facts, policy, &findings);
    if reasons.is_empty() { Ok(()) } else { Err(EraseError::Guarded { reasons: reasons.join("; ") }) }
}

/// Opens what else a command reaches, so that the kernel lets nobody mount it meanwhile.
///
/// # Errors
///
/// [`EraseError::Device`] for one that is in use.
pub(super) fn hold_companions(
    source: &dyn DriveSource,
    job: &Job,
) -> Result<Vec<Arc<dyn Drive>>, EraseError> {
    let open = |name: &String| {
        let disk = BlockDevice { name: name.clone(), ..BlockDevice::default() };
        Ok(source.open(&disk, Access::Exclusive)?)
    };
    job.companions.iter().map(|companion| open(&companion.name)).collect()
}
