use tacit_blockdev::{Drive, Transfer};

use super::command::{QUICK, send};
use crate::drives::error::DriveError;
use crate::drives::facts::Capacity;
use crate::drives::fields::{be_u32, be_u64};

const READ_CAPACITY: &str = "READ CAPACITY (16)";

/// READ CAPACITY (16) (SBC-5, 5.21), and whether unmapped blocks read as zeros (LBPRZ).
///
/// # Errors
///
/// [`DriveError`].
pub(crate) fn read_capacity(drive: &dyn Drive) -> Result<(Capacity, bool), DriveError> {
    let mut data = [0; 32];
    let cdb = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
    let length = send(drive, READ_CAPACITY, &cdb, Transfer::FromDevice(&mut data), QUICK)?;
    parse(&data[..length]).ok_or(DriveError::Malformed {
        command: READ_CAPACITY,
        problem: "no capacity that fits into 64 bits",
    })
}

fn parse(data: &[u8]) -> Option<(Capacity, bool)> {
    let blocks = be_u64(data, 0)?.checked_add(1)?;
    let logical_sector = be_u32(data, 8).filter(|bytes| *bytes != 0)?;
    let exponent = data.get(13).map_or(0, |byte| u32::from(byte & 0x0f));
    let physical_sector = logical_sector.checked_shl(exponent).unwrap_or(logical_sector);
    let bytes = blocks.checked_mul(u64::from(logical_sector))?;
    let zeroes = data.get(14).is_some_and(|byte| byte & 0xc0 == 0xc0);
    Some((Capacity { bytes, logical_sector, physical_sector }, zeroes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_512e_disk() {
        let mut data = [0; 32];
        data[..8].copy_from_slice(&(0x3a38_1000u64 - 1).to_be_bytes());
        data[8..12].copy_from_slice(&512u32.to_be_bytes());
        data[13] = 3;
        data[14] = 0xc0;
        let (capacity, zeroes) = parse(&data).unwrap();
        assert_eq!(capacity.bytes, 0x3a38_1000 * 512);
        assert_eq!((capacity.logical_sector, capacity.physical_sector), (512, 4096));
        assert!(zeroes);
        data[14] = 0x40;
        assert!(!parse(&data).unwrap().1);
    }

    #[test]
    fn nonsense() {
        assert!(parse(&[0xff; 32]).is_none());
        assert!(parse(&[0; 32]).is_none());
        assert!(parse(&[0; 3]).is_none());
    }
}
