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
    let registers = send(drive, &asked, AtaTransfer::None)?;
    if registers.lba_is_cut {
        let problem = "the translation returns one half of the address only";
        return Err(DriveError::Malformed { command: name, problem });
    }
    Ok(registers.lba + 1)
}

/// Number of logical sectors that the drive has when no configuration hides any (ATA8-ACS, 7.9.3).
///
/// # Errors
///
/// [`DriveError`]; many machines lock the configuration when they start, and then it is not told.
pub(super) fn configured_sectors(drive: &dyn Drive) -> Result<u64, DriveError> {
    const COMMAND: &str = "DEVICE CONFIGURATION IDENTIFY";
    let malformed = |problem| DriveError::Malformed { command: COMMAND, problem };
    let mut data = [0; 512];
    let command = AtaCommand { feature: 0xc2, ..plain(COMMAND, 0xb1, QUICK) };
    send(drive, &command, AtaTransfer::In(&mut data))?;
    let sum = data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    if data[510] == 0xa5 && sum != 0 {
        return Err(malformed("its checksum is wrong"));
    }
    let last = data[6..14].iter().rev().fold(0u64, |last, byte| last << 8 | u64::from(*byte));
    last.checked_add(1).ok_or(malformed("a last address beyond all numbers"))
}
