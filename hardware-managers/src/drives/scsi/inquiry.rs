use tacit_blockdev::{Drive, Transfer};

use super::command::{QUICK, send};
use crate::drives::error::DriveError;
use crate::drives::fields::{be_u16, be_u32, be_u64, text};

/// Standard INQUIRY data (SPC-6, 6.7.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inquiry {
    pub(crate) vendor: Option<String>,
    pub(crate) product: Option<String>,
    pub(crate) revision: Option<String>,
}

const INQUIRY: &str = "INQUIRY";

/// # Errors
///
/// [`DriveError`].
pub(crate) fn inquiry(drive: &dyn Drive) -> Result<Inquiry, DriveError> {
    let mut data = [0; 96];
    let length = send(drive, INQUIRY, &[0x12, 0, 0, 0, 96, 0], Transfer::FromDevice(&mut data), QUICK)?;
    Inquiry::parse(&data[..length])
        .ok_or(DriveError::Malformed { command: INQUIRY, problem: "shorter than 36 bytes" })
}

impl Inquiry {
    fn parse(data: &[u8]) -> Option<Self> {
        let data = data.get(..36)?;
        Some(Self { vendor: text(&data[8..16]), product: text(&data[16..32]), revision: text(&data[32..36]) })
    }
}

/// A page of vital product data with its four bytes of header (SPC-6, 7.8), cut to the length that it states.
///
/// # Errors
///
/// [`DriveError`]; a page that carries another number is malformed.
pub(crate) fn vital_page(drive: &dyn Drive, page: u8) -> Result<Vec<u8>, DriveError> {
    let mut data = [0; 512];
    let cdb = [0x12, 1, page, 2, 0, 0];
    let transferred = send(drive, INQUIRY, &cdb, Transfer::FromDevice(&mut data), QUICK)?;
    let answer = &data[..transferred];
    let malformed = |problem| DriveError::Malformed { command: INQUIRY, problem };
    let length = be_u16(answer, 2).ok_or(malformed("no header of a page"))?;
    // Drives that do not know the page but ignore the bit that asks for one send standard data.
    if answer[1] != page {
        return Err(malformed("another page than the one asked for"));
    }
    Ok(answer[..transferred.min(4 + usize::from(length))].to_vec())
}

/// Numbers of the pages that there are (page 00h).
///
/// # Errors
///
/// As [`vital_page`].
pub(crate) fn vital_pages(drive: &dyn Drive) -> Result<Vec<u8>, DriveError> {
    Ok(vital_page(drive, 0x00)?.split_off(4))
}

/// Page 80h.
pub(crate) fn unit_serial(page: &[u8]) -> Option<String> {
    text(page.get(4..)?)
}

/// Block Limits page B0h (SBC-5, 6.6.4), in blocks; 0 where the drive sets no limit or says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockLimits {
    /// `0` means that there is no UNMAP.
    pub(crate) unmap_blocks: u32,
    pub(crate) write_same_blocks: u64,
}

impl BlockLimits {
    pub(crate) fn parse(page: &[u8]) -> Self {
        Self { unmap_blocks: be_u32(page, 20).unwrap_or(0), write_same_blocks: be_u64(page, 36).unwrap_or(0) }
    }
}

/// Medium rotation rate of page B1h (SBC-5, 6.6.1): whether it rotates, and how fast.
pub(crate) fn rotation(page: &[u8]) -> Option<(bool, Option<u16>)> {
    rotation_rate(be_u16(page, 4)?)
}

/// As SBC-5 and ACS-5 (IDENTIFY DEVICE word 217) encode it.
pub(crate) fn rotation_rate(rate: u16) -> Option<(bool, Option<u16>)> {
    match rate {
        1 => Some((false, None)),
        0x0401..=0xfffe => Some((true, Some(rate))),
        _ => None,
    }
}

/// Logical Block Provisioning page B2h (SBC-5, 6.6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockProvisioning {
    /// UNMAP.
    pub(crate) unmap: bool,
    /// WRITE SAME (16) with the UNMAP bit.
    pub(crate) write_same: bool,
    /// Unmapped blocks read as zeros.
    pub(crate) reads_zeroes: bool,
}

impl BlockProvisioning {
    pub(crate) fn parse(page: &[u8]) -> Self {
        let flags = page.get(5).copied().unwrap_or(0);
        Self {
            unmap: flags & 0x80 != 0,
            write_same: flags & 0x40 != 0,
            // xx1b; 010b promises a pattern of the maker's choice.
            reads_zeroes: flags >> 2 & 1 != 0,
        }
    }

    /// Whether all that is to be unmapped reads as zeros afterwards. UNMAP may leave blocks as they are; WRITE SAME
    /// writes what it does not unmap (SBC-5, 4.7.3.4).
    pub(crate) fn zeroes_guaranteed(self) -> bool {
        self.write_same && self.reads_zeroes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_a_thin_disk() {
        let mut limits = vec![0; 64];
        limits[..4].copy_from_slice(&[0, 0xb0, 0, 60]);
        limits[20..24].copy_from_slice(&0x10000u32.to_be_bytes());
        limits[24..28].copy_from_slice(&255u32.to_be_bytes());
        limits[36..44].copy_from_slice(&0xffffu64.to_be_bytes());
        let limits = BlockLimits::parse(&limits);
        assert_eq!((limits.unmap_blocks, limits.write_same_blocks), (0x10000, 0xffff));
        // SBC-3's page is shorter.
        assert_eq!(
            BlockLimits::parse(&[0, 0xb0, 0, 12, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]),
            BlockLimits::default()
        );

        let provisioning = BlockProvisioning::parse(&[0, 0xb2, 0, 4, 0, 0xc4, 2, 0]);
        assert_eq!(provisioning, BlockProvisioning { unmap: true, write_same: true, reads_zeroes: true });
        // A pattern of the maker's choice is no zeros.
        assert!(!BlockProvisioning::parse(&[0, 0xb2, 0, 4, 0, 0x88, 2, 0]).reads_zeroes);
    }

    #[test]
    fn rates_of_rotation() {
        assert_eq!(rotation(&[0, 0xb1, 0, 60, 0, 1]), Some((false, None)));
        assert_eq!(rotation(&[0, 0xb1, 0, 60, 0x1c, 0x20]), Some((true, Some(7200))));
        assert_eq!(rotation(&[0, 0xb1, 0, 60, 0, 0]), None);
        assert_eq!(rotation(&[0, 0xb1]), None);
    }
}
