//! Passwords of the Security feature set (ACS-5, 4.18), and the commands that take one.

use std::time::Duration;

use tacit_blockdev::Drive;

use super::command::{AtaCommand, AtaTransfer, send};
use super::identify::plain;
use crate::drives::error::DriveError;
use crate::drives::scsi::QUICK;

/// What is set while a drive erases itself. Whoever finds it on a drive found an erase that was cut off.
pub(crate) const OURS: &str = "tacit";

/// What other tools leave behind: `NULL`, and no characters at all, which is what newer ones make of `NULL`.
pub(super) const KNOWN: [&str; 3] = [OURS, "NULL", ""];

/// A password as operators see it.
pub(super) fn shown(password: &str) -> &str {
    if password.is_empty() { "(empty)" } else { password }
}

/// The data of a security command: the user password, padded with zeros (ACS-5, 7.44 to 7.48).
fn block(control: u8, password: &str) -> [u8; 512] {
    let mut data = [0; 512];
    data[0] = control;
    for (place, byte) in data[2..34].iter_mut().zip(password.bytes()) {
        *place = byte;
    }
    data
}

fn with_password(
    drive: &dyn Drive,
    command: &AtaCommand,
    control: u8,
    password: &str,
) -> Result<(), DriveError> {
    send(drive, command, AtaTransfer::Out(&block(control, password))).map(|_| ())
}

/// SECURITY SET PASSWORD: user password, level high (the master password can still unlock).
///
/// # Errors
///
/// [`DriveError`], as for all of these.
pub(super) fn set(drive: &dyn Drive, password: &str) -> Result<(), DriveError> {
    with_password(drive, &plain("SECURITY SET PASSWORD", 0xf1, QUICK), 0, password)
}

pub(super) fn unlock(drive: &dyn Drive, password: &str) -> Result<(), DriveError> {
    with_password(drive, &plain("SECURITY UNLOCK", 0xf2, QUICK), 0, password)
}

pub(super) fn disable(drive: &dyn Drive, password: &str) -> Result<(), DriveError> {
    with_password(drive, &plain("SECURITY DISABLE PASSWORD", 0xf6, QUICK), 0, password)
}

pub(super) const ERASE_UNIT: &str = "SECURITY ERASE UNIT";

/// SECURITY ERASE PREPARE and at once SECURITY ERASE UNIT: with anything in between the drive refuses.
pub(super) fn erase_unit(
    drive: &dyn Drive,
    password: &str,
    enhanced: bool,
    timeout: Duration,
) -> Result<(), DriveError> {
    send(drive, &plain("SECURITY ERASE PREPARE", 0xf3, QUICK), AtaTransfer::None)?;
    let control = if enhanced { 0x02 } else { 0 };
    with_password(drive, &plain(ERASE_UNIT, 0xf4, timeout), control, password)
}
