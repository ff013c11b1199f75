use tacit_blockdev::Drive;

use super::command::{AtaCommand, AtaTransfer, send};
use super::identify::plain;
use crate::drives::error::DriveError;
use crate::drives::facts::DriveHealth;
use crate::drives::scsi::QUICK;

const RETURN_STATUS: &str = "SMART RETURN STATUS";
/// In the middle and upper byte of the address: a key that the drive gives back, or turns round.
const GOOD: u64 = 0xc2_4f00;
const EXCEEDED: u64 = 0x2c_f400;

/// SMART RETURN STATUS (ACS-5, 7.46.4).
///
/// # Errors
///
/// [`DriveError`].
pub(super) fn health(drive: &dyn Drive) -> Result<DriveHealth, DriveError> {
    let command = AtaCommand { feature: 0xda, lba: GOOD, ..plain(RETURN_STATUS, 0xb0, QUICK) };
    match send(drive, &command, AtaTransfer::None)?.lba & 0xff_ff00 {
        GOOD => Ok(DriveHealth::Good),
        EXCEEDED => Ok(DriveHealth::Failing(
            "SMART: a threshold is exceeded, the drive predicts its failure".to_owned(),
        )),
        _ => Err(DriveError::Malformed { command: RETURN_STATUS, problem: "neither of the two answers" }),
    }
}
