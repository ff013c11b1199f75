//! UNMAP and WRITE SAME over a whole drive (SBC-5, 5.37 and 5.55).

use std::time::Duration;

use tacit_blockdev::{Drive, Transfer};

use super::command::send;
use super::facts::provisioning;
use super::inquiry::BlockLimits;
use crate::drives::clock::{PROGRESS_WHOLE, Wait};
use crate::drives::error::DriveError;
use crate::drives::sanitize::overwrite_deadline;

const UNMAP: &str = "UNMAP";
const WRITE_SAME: &str = "WRITE SAME (16)";

/// At most so much with one command: progress shows, and a drive without fast paths ends in time.
const PIECE_BYTES: u64 = 1 << 30;
const PIECE_TAKES: Duration = Duration::from_secs(600);

/// Unmaps everything; by WRITE SAME where the drive has it, because that leaves no block out.
///
/// # Errors
///
/// [`DriveError::Unsupported`], [`DriveError::Cancelled`], [`DriveError::Unfinished`]; [`DriveError`] of the first
/// command that failed.
pub(crate) fn unmap(drive: &dyn Drive, wait: &Wait<'_>) -> Result<Vec<String>, DriveError> {
    let (limits, has) = provisioning(drive)?;
    let promise = if has.zeroes_guaranteed() { "promises zeros" } else { "promises nothing" };
    let (how, commands) = if has.write_same {
        let most = write_same_blocks(&limits, drive.logical_sector());
        (
            WRITE_SAME,
            pieces(drive, UNMAP, most, wait, |lba, blocks| send_write_same(drive, lba, blocks, true))?,
        )
    } else if has.unmap && limits.unmap_blocks > 0 {
        let most = u64::from(limits.unmap_blocks);
        (UNMAP, pieces(drive, UNMAP, most, wait, |lba, blocks| send_unmap(drive, lba, blocks))?)
    } else {
        return Err(DriveError::Unsupported { what: "unmap" });
    };
    Ok(vec![format!(
        "{commands} commands {how} unmapped {} bytes, of which the drive {promise}",
        drive.size_bytes()
    )])
}

/// Has the drive write zeros everywhere.
///
/// # Errors
///
/// As [`unmap`].
pub(crate) fn write_same(drive: &dyn Drive, wait: &Wait<'_>) -> Result<Vec<String>, DriveError> {
    let (limits, _) = provisioning(drive)?;
    let most = write_same_blocks(&limits, drive.logical_sector());
    let send = |lba, blocks| send_write_same(drive, lba, blocks, false);
    let commands = pieces(drive, WRITE_SAME, most, wait, send)?;
    Ok(vec![format!("{commands} commands {WRITE_SAME} wrote zeros to {} bytes", drive.size_bytes())])
}

/// Calls `send` with one run of blocks after the other; returns how many there were.
fn pieces(
    drive: &dyn Drive,
    operation: &'static str,
    most: u64,
    wait: &Wait<'_>,
    send: impl Fn(u64, u32) -> Result<(), DriveError>,
) -> Result<u64, DriveError> {
    let sector = u64::from(drive.logical_sector().max(1));
    let blocks = drive.size_bytes() / sector;
    let most = most.min(PIECE_BYTES / sector).clamp(1, u64::from(u32::MAX));
    let deadline = overwrite_deadline(drive.size_bytes());
    let start = wait.clock.now();
    let (mut lba, mut commands) = (0, 0);
    while lba < blocks {
        let waited = wait.clock.now().saturating_sub(start);
        if waited > deadline {
            return Err(DriveError::Unfinished { operation, waited });
        }
        if (wait.cancelled)() {
            return Err(DriveError::Cancelled { operation });
        }
        let piece = most.min(blocks - lba);
        send(lba, u32::try_from(piece).expect("pieces are clamped to 32 bits"))?;
        lba += piece;
        commands += 1;
        let share = u128::from(lba) * u128::from(PROGRESS_WHOLE) / u128::from(blocks);
        (wait.progress)(u64::try_from(share).unwrap_or(PROGRESS_WHOLE));
    }
    Ok(commands)
}

fn send_unmap(drive: &dyn Drive, lba: u64, blocks: u32) -> Result<(), DriveError> {
    // Lengths of what follows, then one descriptor (SBC-5, 5.37.2).
    let mut list = [0; 24];
    list[1] = 22;
    list[3] = 16;
    list[8..16].copy_from_slice(&lba.to_be_bytes());
    list[16..20].copy_from_slice(&blocks.to_be_bytes());
    let cdb = [0x42, 0, 0, 0, 0, 0, 0, 0, list.len() as u8, 0];
    send(drive, UNMAP, &cdb, Transfer::ToDevice(&list), PIECE_TAKES).map(|_| ())
}

fn send_write_same(drive: &dyn Drive, lba: u64, blocks: u32, unmap: bool) -> Result<(), DriveError> {
    let mut cdb = [0; 16];
    cdb[0] = 0x93;
    cdb[1] = if unmap { 0x08 } else { 0 };
    cdb[2..10].copy_from_slice(&lba.to_be_bytes());
    cdb[10..14].copy_from_slice(&blocks.to_be_bytes());
    let zeros = vec![0; drive.logical_sector() as usize];
    send(drive, WRITE_SAME, &cdb, Transfer::ToDevice(&zeros), PIECE_TAKES).map(|_| ())
}

/// Drives that set no limit all take this many; the field of WRITE SAME (10) holds no more.
const UNLIMITED: u64 = 0xffff;

fn write_same_blocks(limits: &BlockLimits, logical_sector: u32) -> u64 {
    match limits.write_same_blocks {
        0 => UNLIMITED,
        blocks => blocks.min(PIECE_BYTES / u64::from(logical_sector.max(1))),
    }
}
