//! The two commands that ask, and the fields of what they return.

use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, NvmeCommand, Transfer};

use crate::drives::DriveError;

/// For commands that only ask, and those that start something.
pub(super) const QUICK: Duration = Duration::from_secs(60);
/// Stands for all namespaces, and for the controller in its own logs.
pub(super) const ALL_NAMESPACES: u32 = 0xffff_ffff;

/// Length of everything that Identify returns.
pub(super) const IDENTIFY: usize = 4096;

const GET_LOG_PAGE: u8 = 0x02;
const IDENTIFY_OPCODE: u8 = 0x06;
/// The event that made the page worth reading stays outstanding for whoever waits for it.
const RETAIN_EVENT: u32 = 1 << 15;

/// Identify (Base 2.1, 5.1.13) with a controller or namespace structure number.
pub(super) fn identify(
    drive: &dyn Drive,
    what: &'static str,
    structure: u8,
    namespace: u32,
) -> Result<Box<[u8; IDENTIFY]>, DriveError> {
    let mut data = Box::new([0; IDENTIFY]);
    let command = NvmeCommand {
        opcode: IDENTIFY_OPCODE,
        namespace,
        dwords: [u32::from(structure), 0, 0, 0, 0, 0],
        timeout: QUICK,
    };
    drive
        .nvme(&command, Transfer::FromDevice(data.as_mut_slice()))
        .map_err(|source| DriveError::Command { command: what, source })?;
    Ok(data)
}

/// The first 512 bytes of a log page (Base 2.1, 5.1.12).
pub(super) fn log_page(drive: &dyn Drive, page: u8, retain: bool) -> Result<[u8; 512], CommandError> {
    let mut data = [0; 512];
    let dwords = (data.len() as u32 / 4 - 1) << 16;
    let retain = if retain { RETAIN_EVENT } else { 0 };
    let command = NvmeCommand {
        opcode: GET_LOG_PAGE,
        namespace: ALL_NAMESPACES,
        dwords: [dwords | retain | u32::from(page), 0, 0, 0, 0, 0],
        timeout: QUICK,
    };
    drive.nvme(&command, Transfer::FromDevice(&mut data))?;
    Ok(data)
}

/// The bytes at a fixed place of a structure of fixed length.
pub(super) fn bytes<const N: usize>(data: &[u8], at: usize) -> [u8; N] {
    data[at..at + N].try_into().expect("a slice of N bytes makes an array of N bytes")
}

pub(super) fn u16_at(data: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes(data, at))
}

pub(super) fn u32_at(data: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes(data, at))
}

pub(super) fn u64_at(data: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes(data, at))
}

pub(super) fn u128_at(data: &[u8], at: usize) -> u128 {
    u128::from_le_bytes(bytes(data, at))
}
