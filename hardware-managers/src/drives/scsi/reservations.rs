//! Persistent reservations (SPC-6, 5.14 and 6.15): whether somebody else uses a drive.

use tacit_blockdev::{Drive, Transfer};

use super::command::{QUICK, send};
use super::sense::{ILLEGAL_REQUEST, Sense};
use crate::drives::error::DriveError;
use crate::drives::facts::Reservations;
use crate::drives::fields::{be_u32, be_u64};

const READ_KEYS: u8 = 0;
const READ_RESERVATION: u8 = 1;
const COMMAND: &str = "PERSISTENT RESERVE IN";
/// LOGICAL UNIT NOT SUPPORTED.
const UNIT_NOT_SUPPORTED: u8 = 0x25;
/// Room for 64 keys. Whoever has more has some.
const ROOM: u16 = 8 + 64 * 8;

/// Who has registered, and who holds a reservation. This machine never registers: every key is somebody else's.
///
/// # Errors
///
/// [`DriveError`], but none for a drive without reservations.
pub(crate) fn reservations(drive: &dyn Drive) -> Result<Reservations, DriveError> {
    let keys = match ask(drive, READ_KEYS) {
        Ok(data) => keys(&data),
        Err(DriveError::Refused { sense, .. }) if has_none(&sense) => {
            return Ok(Reservations::None);
        }
        // A conflict on a command that never conflicts: a reservation of SPC-2, or a target that is strict.
        Err(DriveError::Reserved { .. }) => {
            return Ok(Reservations::Registered { keys: Vec::new(), holder: None });
        }
        Err(error) => return Err(error),
    };
    let keys = keys.ok_or(DriveError::Malformed { command: COMMAND, problem: "no list of keys" })?;
    let holder = match ask(drive, READ_RESERVATION) {
        Ok(data) => holder(&data),
        Err(DriveError::Refused { sense, .. }) if has_none(&sense) => None,
        // Who has registered is known all the same.
        Err(_) if !keys.is_empty() => None,
        Err(error) => return Err(error),
    };
    if keys.is_empty() && holder.is_none() {
        return Ok(Reservations::None);
    }
    Ok(Reservations::Registered { keys, holder })
}

/// Whether the drive says that it has no such command. A unit that is not there says nothing of the kind.
fn has_none(sense: &Sense) -> bool {
    sense.key == ILLEGAL_REQUEST && sense.code.0 != UNIT_NOT_SUPPORTED
}

fn ask(drive: &dyn Drive, service_action: u8) -> Result<Vec<u8>, DriveError> {
    let mut data = [0; ROOM as usize];
    let [high, low] = ROOM.to_be_bytes();
    let cdb = [0x5e, service_action, 0, 0, 0, 0, 0, high, low, 0];
    let length = send(drive, COMMAND, &cdb, Transfer::FromDevice(&mut data), QUICK)?;
    Ok(data[..length].to_vec())
}

/// Generation, length, keys.
fn keys(data: &[u8]) -> Option<Vec<u64>> {
    let length = be_u32(data, 4)? as usize;
    let held = data.get(8..).unwrap_or_default();
    let keys: Vec<u64> =
        held[..length.min(held.len())].chunks_exact(8).filter_map(|key| be_u64(key, 0)).collect();
    // A list that is said to have some and has none is no list.
    (length < 8 || !keys.is_empty()).then_some(keys)
}

/// The key is followed by scope and type. A reservation of all registrants has the key 0.
fn holder(data: &[u8]) -> Option<u64> {
    be_u32(data, 4).filter(|length| *length >= 16)?;
    be_u64(data, 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_keys() {
        let mut data = vec![0, 0, 0, 7, 0, 0, 0, 16];
        data.extend(0x1234u64.to_be_bytes());
        data.extend(0x5678u64.to_be_bytes());
        data.extend([0xff; 8]);
        assert_eq!(keys(&data), Some(vec![0x1234, 0x5678]));
        // A drive that claims more than it sends.
        data[4] = 0xff;
        assert_eq!(keys(&data).unwrap().len(), 3);
        assert_eq!((keys(&data[..7]), keys(&data[..8])), (None, None));
    }

    #[test]
    fn only_a_refusal_of_the_command_says_that_there_is_none() {
        let sense = |key, code| Sense { key, code, ..Sense::default() };
        for code in [(0x20, 0), (0x24, 0)] {
            assert!(has_none(&sense(ILLEGAL_REQUEST, code)));
        }
        assert!(!has_none(&sense(ILLEGAL_REQUEST, (UNIT_NOT_SUPPORTED, 0))));
        for (key, code) in [(2, (0x04, 0x0a)), (4, (0x44, 0)), (11, (0x20, 0))] {
            assert!(!has_none(&sense(key, code)));
        }
    }

    #[test]
    fn holders() {
        let mut data = vec![0, 0, 0, 7, 0, 0, 0, 16];
        data.extend([0; 16]);
        assert_eq!(holder(&data), Some(0));
        data[7] = 0;
        assert_eq!(holder(&data), None);
    }
}
