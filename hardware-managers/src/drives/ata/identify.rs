use std::time::Duration;

use tacit_blockdev::Drive;

use super::command::{AtaCommand, AtaTransfer, send};
use super::words::{Hiding, Words};
use crate::drives::error::DriveError;
use crate::drives::scsi::QUICK;

pub(super) const IDENTIFY: &str = "IDENTIFY DEVICE";

/// A command without data or parameters.
pub(super) fn plain(name: &'static str, command: u8, timeout: Duration) -> AtaCommand {
    AtaCommand { name, command, feature: 0, count: 0, lba: 0, extended: false, timeout }
}

/// IDENTIFY DEVICE (ACS-5, 7.13).
///
/// # Errors
///
/// [`DriveError`].
pub(super) fn identify(drive: &dyn Drive) -> Result<Words, DriveError> {
    let mut data = [0; 512];
    send(drive, &plain(IDENTIFY, 0xec, QUICK), AtaTransfer::In(&mut data))?;
    Words::parse(&data)
        .ok_or(DriveError::Malformed { command: IDENTIFY, problem: "no description of an ATA drive" })
}

/// Number of logical sectors that the drive really has, hidden ones included.
///
/// # Errors
///
/// [`DriveError`].
pub(super) fn native_sectors(drive: &dyn Drive, by: Hiding) -> Result<u64, DriveError> {
    let (name, command) = match by {
        Hiding::AccessibleMaxAddress => ("GET NATIVE MAX ADDRESS EXT", 0x78),
        Hiding::HostProtectedArea => ("READ NATIVE MAX ADDRESS EXT", 0x27),
    };
    let asked = AtaCommand { extended: true, ..plain(name, command, QUICK) };
    Ok(send(drive, &asked, AtaTransfer::None)?.lba + 1)
}
