//! Putting firmware into a drive, and proving that it is there.

use tacit_blockdev::Drive;

use crate::drives::DriveError;
use crate::drives::nvme::{Activation, Controller, FirmwareSlots, commit, download};

const UPDATE: &str = "the firmware update";

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Applied {
    pub(super) activation: Activation,
    /// What was read back from the drive, a line each.
    pub(super) verification: Vec<String>,
}

/// Downloads, commits and reads back. `progress` hears the bytes that are transferred.
///
/// # Errors
///
/// [`DriveError::Unproven`] when the drive's own log does not show the revision in its slot.
pub(super) fn apply(
    drive: &dyn Drive,
    controller: &Controller,
    slot: u8,
    version: &str,
    image: &[u8],
    progress: &dyn Fn(u64),
) -> Result<Applied, DriveError> {
    download(drive, controller, image, progress)?;
    let activation = commit(drive, controller, slot)?;
    let unproven = |finding| DriveError::Unproven { operation: UPDATE, finding };
    let slots = FirmwareSlots::read(drive)?;
    let found = slots.revision(slot);
    if found != version {
        return Err(unproven(format!("slot {slot} holds {found:?} and not {version:?}")));
    }
    let mut verification = vec![format!("slot {slot} holds {found}")];
    match activation {
        Activation::Now => {
            let running = Controller::read(drive)?.firmware.unwrap_or_default();
            if slots.active != slot || running != version {
                return Err(unproven(format!("{running:?} of slot {} runs", slots.active)));
            }
            verification.push(format!("{running} of slot {slot} runs"));
        }
        Activation::AtReset => {
            // A drive need not say that the slot that runs now will run again.
            if slots.next != Some(slot) && (slots.next.is_some() || slots.active != slot) {
                return Err(unproven(format!("slot {slot} is not the one that runs after a reset")));
            }
            verification.push(format!("slot {slot} runs from the next reset of the drive on"));
        }
    }
    Ok(Applied { activation, verification })
}
