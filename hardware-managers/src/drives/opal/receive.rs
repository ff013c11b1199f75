use tacit_blockdev::{CommandError, Drive, NvmeCommand, Transfer};

use super::discovery::parse;
use crate::drives::ata::{AtaCommand, AtaTransfer, send as send_ata};
use crate::drives::error::DriveError;
use crate::drives::facts::{DriveKind, TcgState};
use crate::drives::scsi::{ILLEGAL_REQUEST, QUICK, send as send_scsi};

/// Security protocol 1 is TCG's; its communication id 1 is discovery.
const PROTOCOL: u8 = 0x01;
const DISCOVERY: u16 = 0x0001;
const ROOM: usize = 2048;

const SCSI: &str = "SECURITY PROTOCOL IN";
const ATA: &str = "TRUSTED RECEIVE";
const NVME: &str = "Security Receive";

/// Asks for level 0 discovery by whatever command the drive has for it. `None` where it has nothing that locks.
///
/// # Errors
///
/// [`DriveError`]. Linux withholds the command from ATA drives unless it was started with `libata.allow_tpm=1`.
pub(crate) fn discover(drive: &dyn Drive, kind: DriveKind) -> Result<Option<TcgState>, DriveError> {
    let mut answer = vec![0; ROOM];
    let asked = match kind {
        DriveKind::Scsi => by_scsi(drive, &mut answer),
        DriveKind::Ata => by_ata(drive, &mut answer),
        DriveKind::Nvme => by_nvme(drive, &mut answer),
        DriveKind::Plain => return Ok(None),
    };
    asked.map(|known| known.then(|| parse(&answer)).flatten())
}

/// Whether the drive knows the command. SPC-6, 6.42.
fn by_scsi(drive: &dyn Drive, answer: &mut [u8]) -> Result<bool, DriveError> {
    let [id1, id0] = DISCOVERY.to_be_bytes();
    let [length3, length2, length1, length0] = (ROOM as u32).to_be_bytes();
    let cdb = [0xa2, PROTOCOL, id1, id0, 0, 0, length3, length2, length1, length0, 0, 0];
    match send_scsi(drive, SCSI, &cdb, Transfer::FromDevice(answer), QUICK) {
        Ok(_) => Ok(true),
        Err(DriveError::Refused { sense, .. }) if sense.key == ILLEGAL_REQUEST => Ok(false),
        Err(error) => Err(error),
    }
}

/// ACS-5, 7.56: the length in blocks is spread over count and address, the communication id follows.
fn by_ata(drive: &dyn Drive, answer: &mut [u8]) -> Result<bool, DriveError> {
    let command = AtaCommand {
        name: ATA,
        command: 0x5c,
        feature: PROTOCOL.into(),
        count: (ROOM / 512) as u16,
        lba: u64::from(DISCOVERY) << 8,
        extended: false,
        timeout: QUICK,
    };
    match send_ata(drive, &command, AtaTransfer::In(answer)) {
        Ok(_) => Ok(true),
        Err(DriveError::Refused { sense, .. }) if sense.key == ILLEGAL_REQUEST => Err(DriveError::Unusable {
            reason: "the kernel withholds TRUSTED RECEIVE without its parameter `libata.allow_tpm=1`"
                .to_owned(),
        }),
        Err(error) => Err(error),
    }
}

/// NVMe Base 2.1, 5.1.21.
fn by_nvme(drive: &dyn Drive, answer: &mut [u8]) -> Result<bool, DriveError> {
    let command = NvmeCommand {
        opcode: 0x82,
        namespace: 0,
        dwords: [u32::from(PROTOCOL) << 24 | u32::from(DISCOVERY) << 8, ROOM as u32, 0, 0, 0, 0],
        timeout: QUICK,
    };
    match drive.nvme(&command, Transfer::FromDevice(answer)) {
        Ok(_) => Ok(true),
        // Invalid opcode, invalid field: no such command, no such protocol.
        Err(CommandError::Nvme { code_type: 0, code: 1 | 2, .. }) => Ok(false),
        Err(source) => Err(DriveError::Command { command: NVME, source }),
    }
}
