//! What the SCSI / ATA translation does in front of a simulated drive.

use tacit_blockdev::{CommandError, ScsiReply};

/// The registers of a command.
pub(super) struct Registers {
    pub(super) command: u8,
    pub(super) feature: u16,
    pub(super) count: u16,
    pub(super) lba: u64,
}

/// How a command ended, with the count and the address that it leaves.
pub(super) enum End {
    Good { count: u16, lba: u64 },
    Aborted { lba: u64 },
    Lost(CommandError),
}

/// The registers as ATA PASS-THROUGH (16) carries them (SAT-5, 12.2.2).
pub(super) fn registers(cdb: &[u8]) -> Registers {
    Registers {
        command: cdb[14],
        feature: u16::from_be_bytes([cdb[3], cdb[4]]),
        count: u16::from_be_bytes([cdb[5], cdb[6]]),
        lba: u64::from_be_bytes([0, 0, cdb[11], cdb[9], cdb[7], cdb[12], cdb[10], cdb[8]]),
    }
}

/// What the translation makes of the end of a command.
pub(super) fn translate(end: End, wanted: bool, fixed: bool) -> Result<ScsiReply, CommandError> {
    let (key, error, status, count, lba) = match end {
        End::Lost(error) => return Err(error),
        End::Good { .. } if !wanted => return Ok(ScsiReply::default()),
        End::Good { count, lba } => (1, 0, 0x50, count, lba),
        End::Aborted { lba } => (0x0b, 0x04, 0x51, 0, lba),
    };
    let code = if key == 1 { 0x1d } else { 0 };
    let [_, _, l5, l4, l3, l2, l1, l0] = lba.to_be_bytes();
    let [c1, c0] = count.to_be_bytes();
    let sense = if fixed {
        let upper = u8::from(c1 != 0) << 6 | u8::from(l5 | l4 | l3 != 0) << 5;
        vec![0x70, 0, key, error, status, 0x40, c0, 10, upper, l0, l1, l2, 0, code, 0, 0, 0, 0]
    } else {
        vec![
            0x72, key, 0, code, 0, 0, 0, 14, 0x09, 12, 1, error, c1, c0, l3, l0, l4, l1, l5, l2, 0x40, status,
        ]
    };
    Ok(ScsiReply { status: 2, sense, residual: 0 })
}
