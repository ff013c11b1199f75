use std::time::Duration;

use tacit_blockdev::{Drive, Transfer};

use crate::drives::error::DriveError;
use crate::drives::scsi::{AtaRegisters, Failure, Sense, UNIT_ATTENTION, send_once};

/// An ATA command without its data (ACS-5, 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AtaCommand {
    pub(crate) name: &'static str,
    pub(crate) command: u8,
    pub(crate) feature: u16,
    /// For commands with data this is set to the number of 512-byte blocks where it is 0.
    pub(crate) count: u16,
    pub(crate) lba: u64,
    /// With 48-bit registers.
    pub(crate) extended: bool,
    pub(crate) timeout: Duration,
}

/// 512-byte blocks that go with a command, by PIO.
#[derive(Debug)]
pub(crate) enum AtaTransfer<'a> {
    None,
    In(&'a mut [u8]),
    Out(&'a [u8]),
}

/// Reports of past events that a translation may have before it does as told.
const ATTENTIONS: usize = 8;

const ERROR: u8 = 0x01;
const DEVICE_FAULT: u8 = 0x20;

/// Sends a command through ATA PASS-THROUGH (16) (SAT-5, 12.2.2). Without data, the registers are asked for and
/// returned; with data they are all zeros.
///
/// # Errors
///
/// [`DriveError::Rejected`] when the drive itself refused, [`DriveError`] of the way to it.
pub(crate) fn send(
    drive: &dyn Drive,
    command: &AtaCommand,
    mut data: AtaTransfer<'_>,
) -> Result<AtaRegisters, DriveError> {
    let cdb = pass_through(command, &data);
    let mut attentions = 0;
    loop {
        let transfer = match &mut data {
            AtaTransfer::None => Transfer::None,
            AtaTransfer::In(buffer) => Transfer::FromDevice(buffer),
            AtaTransfer::Out(bytes) => Transfer::ToDevice(bytes),
        };
        let sense = match send_once(drive, command.name, &cdb, transfer, command.timeout) {
            Ok((_, sense)) => sense,
            Err(Failure::Error(error)) => return Err(error),
            Err(Failure::Sense(sense)) => match sense.ata {
                Some(registers) => return Err(DriveError::Rejected { command: command.name, registers }),
                None if sense.key == UNIT_ATTENTION && attentions < ATTENTIONS => {
                    attentions += 1;
                    continue;
                }
                None => return Err(DriveError::Refused { command: command.name, sense }),
            },
        };
        return judge(command.name, sense, matches!(data, AtaTransfer::None));
    }
}

fn judge(command: &'static str, sense: Option<Sense>, wanted: bool) -> Result<AtaRegisters, DriveError> {
    match sense.and_then(|sense| sense.ata) {
        Some(registers) if registers.status & (ERROR | DEVICE_FAULT) != 0 => {
            Err(DriveError::Rejected { command, registers })
        }
        Some(registers) => Ok(registers),
        None if wanted => Err(DriveError::Malformed { command, problem: "it came without the registers" }),
        None => Ok(AtaRegisters::default()),
    }
}

fn pass_through(command: &AtaCommand, data: &AtaTransfer<'_>) -> [u8; 16] {
    // Protocol, and the flags: CK_COND to have the registers; T_DIR, BYT_BLOK and a length in the count.
    let (protocol, flags, blocks) = match data {
        AtaTransfer::None => (3, 0x20, 0),
        AtaTransfer::In(buffer) => (4, 0x0e, buffer.len() / 512),
        AtaTransfer::Out(bytes) => (5, 0x06, bytes.len() / 512),
    };
    let count = if command.count == 0 { blocks as u16 } else { command.count };
    let [_, _, lba5, lba4, lba3, lba2, lba1, lba0] = command.lba.to_be_bytes();
    let ([feature1, feature0], [count1, count0]) = (command.feature.to_be_bytes(), count.to_be_bytes());
    let extend = u8::from(command.extended);
    let device = 0x40;
    [
        0x85,
        protocol << 1 | extend,
        flags,
        feature1,
        feature0,
        count1,
        count0,
        lba3,
        lba0,
        lba4,
        lba1,
        lba5,
        lba2,
        device,
        command.command,
        0,
    ]
}
