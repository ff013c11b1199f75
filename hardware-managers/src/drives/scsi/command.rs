use std::time::Duration;

use tacit_blockdev::{Drive, ScsiCommand, Transfer};

use super::sense::{NO_SENSE, RECOVERED, Sense, UNIT_ATTENTION};
use crate::drives::error::DriveError;

/// For commands that are answered from the drive's memory. A disk that first spins up takes that long.
pub(crate) const QUICK: Duration = Duration::from_secs(60);

/// How many reports of past events (reset, mode changed, operation ended) a drive may have before it does as told.
const ATTENTIONS: usize = 8;

const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;
const RESERVATION_CONFLICT: u8 = 0x18;

/// What a command ended with that has no success.
pub(crate) enum Failure {
    Sense(Sense),
    Error(DriveError),
}

/// Sends a command and repeats it while the drive has past events to tell. Returns how many bytes were transferred.
///
/// # Errors
///
/// [`DriveError`]. Recovered errors are none.
pub(crate) fn send(
    drive: &dyn Drive,
    name: &'static str,
    cdb: &[u8],
    mut data: Transfer<'_>,
    timeout: Duration,
) -> Result<usize, DriveError> {
    let mut attentions = 0;
    loop {
        let again = match &mut data {
            Transfer::None => Transfer::None,
            Transfer::FromDevice(buffer) => Transfer::FromDevice(buffer),
            Transfer::ToDevice(bytes) => Transfer::ToDevice(bytes),
        };
        match send_once(drive, name, cdb, again, timeout) {
            Ok((transferred, _)) => return Ok(transferred),
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Sense(sense)) if sense.key == UNIT_ATTENTION && attentions < ATTENTIONS => {
                attentions += 1;
            }
            Err(Failure::Sense(sense)) => return Err(DriveError::Refused { command: name, sense }),
        }
    }
}

/// Sends a command. Returns how many bytes were transferred, and sense data that came with a success.
pub(crate) fn send_once(
    drive: &dyn Drive,
    name: &'static str,
    cdb: &[u8],
    data: Transfer<'_>,
    timeout: Duration,
) -> Result<(usize, Option<Sense>), Failure> {
    let length = match &data {
        Transfer::None => 0,
        Transfer::FromDevice(buffer) => buffer.len(),
        Transfer::ToDevice(bytes) => bytes.len(),
    };
    let reply = drive
        .scsi(&ScsiCommand { cdb, timeout }, data)
        .map_err(|source| Failure::Error(DriveError::Command { command: name, source }))?;
    let transferred = length.saturating_sub(reply.residual);
    match (reply.status, Sense::parse(&reply.sense)) {
        (GOOD, sense) => Ok((transferred, sense)),
        (CHECK_CONDITION, Some(sense)) if !sense.deferred && matches!(sense.key, NO_SENSE | RECOVERED) => {
            Ok((transferred, Some(sense)))
        }
        (CHECK_CONDITION, Some(sense)) => Err(Failure::Sense(sense)),
        (RESERVATION_CONFLICT, _) => Err(Failure::Error(DriveError::Reserved { command: name })),
        (status, _) => Err(Failure::Error(DriveError::Status { command: name, status })),
    }
}
