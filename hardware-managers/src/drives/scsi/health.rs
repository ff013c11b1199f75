use tacit_blockdev::{Drive, Transfer};

use super::command::{QUICK, send};
use super::sanitize::request_sense;
use super::sense::Sense;
use crate::drives::error::DriveError;
use crate::drives::facts::DriveHealth;
use crate::drives::fields::be_u16;

/// Whether the drive predicts its failure: log page 2Fh, Informational Exceptions (SPC-6, 7.3.9), and where there
/// is none REQUEST SENSE.
///
/// # Errors
///
/// [`DriveError`] of REQUEST SENSE.
pub(crate) fn health(drive: &dyn Drive) -> Result<DriveHealth, DriveError> {
    let mut data = [0; 64];
    // Cumulative values (PC 01b) of the page.
    let cdb = [0x4d, 0, 0x40 | 0x2f, 0, 0, 0, 0, 0, 64, 0];
    let page = send(drive, "LOG SENSE", &cdb, Transfer::FromDevice(&mut data), QUICK);
    if let Some(code) = page.ok().and_then(|length| exception(&data[..length])) {
        return Ok(judge(code));
    }
    let sense = request_sense(drive)?;
    Ok(if sense.is_exception() { judge(sense.code) } else { DriveHealth::Unknown })
}

/// Code and qualifier of parameter 0000h.
fn exception(page: &[u8]) -> Option<(u8, u8)> {
    let [number, _, ..] = *page else { return None };
    let parameter = page.get(4..)?;
    (number & 0x3f == 0x2f && be_u16(parameter, 0)? == 0 && *parameter.get(3)? >= 2)
        .then(|| Some((*parameter.get(4)?, *parameter.get(5)?)))?
}

fn judge(code: (u8, u8)) -> DriveHealth {
    if (Sense { code, ..Sense::default() }).is_exception() {
        let (code, qualifier) = code;
        return DriveHealth::Failing(format!(
            "the drive predicts its failure ({code:02x}h/{qualifier:02x}h)"
        ));
    }
    DriveHealth::Good
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let page = [0x2f, 0, 0, 8, 0, 0, 0x03, 4, 0x5d, 0x10, 38, 0];
        assert_eq!(exception(&page), Some((0x5d, 0x10)));
        assert!(matches!(judge((0x5d, 0x10)), DriveHealth::Failing(reason) if reason.contains("5dh/10h")));
        assert_eq!(judge((0, 0)), DriveHealth::Good);
        assert_eq!(exception(&page[..9]), None);
        assert_eq!(exception(&[0x0d, 0, 0, 8, 0, 0, 3, 4, 0x5d, 0, 0, 0]), None);
    }
}
