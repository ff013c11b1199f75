use std::time::Duration;

use tacit_blockdev::{Drive, Transfer};

use super::command::{QUICK, send};
use super::sense::ILLEGAL_REQUEST;
use crate::drives::error::DriveError;
use crate::drives::fields::{be_u16, be_u32};

/// What REPORT SUPPORTED OPERATION CODES says of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// How long it takes at most, where the drive says so.
    Yes(Option<Duration>),
    No,
    /// The drive does not know: it has no such report, or says that it cannot tell now.
    Unknown,
}

const REPORT: &str = "REPORT SUPPORTED OPERATION CODES";

/// Asks for one command, or one service action of a command, with its time-outs (SPC-6, 6.34).
///
/// # Errors
///
/// [`DriveError`], but none for a drive that does not have the report.
pub(crate) fn supported(
    drive: &dyn Drive,
    operation: u8,
    service_action: Option<u8>,
) -> Result<Support, DriveError> {
    let mut data = [0; 64];
    // RCTD, and one command by operation code, or by operation code and service action.
    let by = if service_action.is_some() { 0x82 } else { 0x81 };
    let cdb = [0xa3, 0x0c, by, operation, 0, service_action.unwrap_or(0), 0, 0, 0, 64, 0, 0];
    match send(drive, REPORT, &cdb, Transfer::FromDevice(&mut data), QUICK) {
        Ok(length) => Ok(parse(&data[..length])),
        Err(DriveError::Refused { sense, .. }) if sense.key == ILLEGAL_REQUEST => Ok(Support::Unknown),
        Err(error) => Err(error),
    }
}

fn parse(data: &[u8]) -> Support {
    let (Some(flags), Some(usage)) = (data.get(1), be_u16(data, 2)) else { return Support::Unknown };
    match flags & 7 {
        1 => Support::No,
        // 101b: in a way that no standard knows. Nothing to rely on.
        3 => Support::Yes(timeout(flags, data.get(4 + usize::from(usage)..).unwrap_or_default())),
        5 => Support::No,
        _ => Support::Unknown,
    }
}

/// The command time-outs descriptor (SPC-6, 6.34.4): recommended time-out in seconds.
fn timeout(flags: &u8, descriptor: &[u8]) -> Option<Duration> {
    let seconds = be_u32(descriptor, 8).filter(|seconds| flags & 0x80 != 0 && *seconds != 0)?;
    Some(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        assert_eq!(parse(&[0, 1, 0, 0]), Support::No);
        assert_eq!(parse(&[0, 3, 0, 2, 0x48, 0x1f]), Support::Yes(None));
        assert_eq!(parse(&[0, 0, 0, 0]), Support::Unknown);
        assert_eq!(parse(&[]), Support::Unknown);
        let mut timed = vec![0, 0x83, 0, 2, 0x48, 0x1f, 0, 10, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0];
        timed[14..18].copy_from_slice(&7200u32.to_be_bytes());
        assert_eq!(parse(&timed), Support::Yes(Some(Duration::from_secs(7200))));
        timed.truncate(16);
        assert_eq!(parse(&timed), Support::Yes(None));
    }
}
