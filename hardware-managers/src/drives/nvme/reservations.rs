//! Reservations on a namespace (Base 2.1, 8.1.22): whether somebody else uses it.

use tacit_blockdev::{CommandError, Drive, NvmeCommand, Transfer};

use super::admin::QUICK;
use crate::drives::{DriveError, Reservations};

const REPORT: u8 = 0x0e;
const COMMAND: &str = "Reservation Report";
/// Room for 63 controllers. Whoever has more has some.
const ROOM: usize = 4096;

/// Generic status codes: there is no such command, or no such field; the host's identifier has the other length.
const INVALID_OPCODE: u8 = 0x01;
const INVALID_FIELD: u8 = 0x02;
const OTHER_IDENTIFIER: u8 = 0x18;
const CONFLICT: u8 = 0x83;

/// Who has registered, and who holds a reservation. This machine never registers: every key is somebody else's.
///
/// # Errors
///
/// [`DriveError::Command`], but none for a drive without the command.
pub(super) fn reservations(drive: &dyn Drive, namespace: u32) -> Result<Reservations, DriveError> {
    for layout in [EXTENDED, SHORT] {
        let mut data = [0; ROOM];
        let command = NvmeCommand {
            opcode: REPORT,
            namespace,
            dwords: [(ROOM / 4 - 1) as u32, layout.flag, 0, 0, 0, 0],
            timeout: QUICK,
        };
        match drive.nvme_io(&command, Transfer::FromDevice(&mut data)) {
            Ok(_) => return Ok(parse(&data, &layout)),
            Err(CommandError::NoPassThrough) => return Ok(Reservations::Unknown),
            Err(CommandError::Nvme { code_type: 0, code: INVALID_OPCODE, .. }) => {
                return Ok(Reservations::None);
            }
            Err(CommandError::Nvme { code_type: 0, code: INVALID_FIELD, .. })
                if layout.flag == SHORT.flag =>
            {
                return Ok(Reservations::None);
            }
            Err(CommandError::Nvme { code_type: 0, code: CONFLICT, .. }) => {
                return Ok(Reservations::Registered { keys: Vec::new(), holder: None });
            }
            Err(CommandError::Nvme { code_type: 0, code: OTHER_IDENTIFIER | INVALID_FIELD, .. })
                if layout.flag == EXTENDED.flag => {}
            Err(source) => return Err(DriveError::Command { command: COMMAND, source }),
        }
    }
    Ok(Reservations::Unknown)
}

/// Where things are in the two forms of the data (Base 2.1, 7.8.4), in bytes.
struct Layout {
    /// Command dword 11: extended data.
    flag: u32,
    header: usize,
    entry: usize,
    key: usize,
}

const EXTENDED: Layout = Layout { flag: 1, header: 64, entry: 64, key: 8 };
const SHORT: Layout = Layout { flag: 0, header: 24, entry: 24, key: 16 };

fn parse(data: &[u8; ROOM], layout: &Layout) -> Reservations {
    let kind = data[4];
    let count = usize::from(u16::from_le_bytes([data[5], data[6]]));
    let entries: Vec<(u64, bool)> = data[layout.header..]
        .chunks_exact(layout.entry)
        .take(count)
        .map(|entry| (super::admin::u64_at(entry, layout.key), entry[2] & 1 != 0))
        .collect();
    if count == 0 && kind == 0 {
        return Reservations::None;
    }
    let holder = entries.iter().find(|(_, holds)| *holds).map(|(key, _)| *key);
    Reservations::Registered { keys: entries.into_iter().map(|(key, _)| key).collect(), holder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_tell_the_same() {
        for layout in [EXTENDED, SHORT] {
            let mut data = [0; ROOM];
            assert_eq!(parse(&data, &layout), Reservations::None);
            (data[4], data[5]) = (1, 2);
            let second = layout.header + layout.entry;
            data[layout.header + layout.key] = 0x11;
            data[second + 2] = 1;
            data[second + layout.key] = 0x22;
            let expected = Reservations::Registered { keys: vec![0x11, 0x22], holder: Some(0x22) };
            assert_eq!(parse(&data, &layout), expected);
            // More than there is room for.
            (data[5], data[6]) = (0xff, 0xff);
            assert!(
                matches!(parse(&data, &layout), Reservations::Registered { keys, .. } if keys.len() < 256)
            );
        }
    }
}
