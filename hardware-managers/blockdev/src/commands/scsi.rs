//! SCSI commands through the kernel's generic interface, version 3 (`scsi/sg.h`).
#![expect(unsafe_code, reason = "ioctls")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::ptr;

use libc::{c_int, c_uchar, c_uint, c_ushort, c_void};

use super::nvme::{invalid, milliseconds};
use super::{CommandError, ScsiCommand, ScsiReply, Transfer};

/// `struct sg_io_hdr`.
#[repr(C)]
#[derive(Debug)]
pub(super) struct Header {
    interface_id: c_int,
    direction: c_int,
    command_length: c_uchar,
    sense_room: c_uchar,
    vector_count: c_ushort,
    data_length: c_uint,
    data: *mut c_void,
    command: *const c_uchar,
    sense: *mut c_uchar,
    timeout_ms: c_uint,
    flags: c_uint,
    pack_id: c_int,
    user: *mut c_void,
    status: c_uchar,
    masked_status: c_uchar,
    message_status: c_uchar,
    sense_length: c_uchar,
    host_status: c_ushort,
    driver_status: c_ushort,
    residual: c_int,
    duration_ms: c_uint,
    info: c_uint,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Header>() == 88, "the kernel's structure has 88 bytes");

mod raw {
    nix::ioctl_read_bad!(sg_get_version, 0x2282, libc::c_int);
    nix::ioctl_readwrite_bad!(sg_io, 0x2285, super::Header);
}

/// Room for sense data; SPC-6 allows no more than 252 bytes (4.4.2).
const SENSE: usize = 252;

const TO_DEVICE: c_int = -2;
const FROM_DEVICE: c_int = -3;
const NO_DATA: c_int = -1;

/// What the kernel's host adapter drivers say (`DID_*`).
const HOST_OK: u16 = 0x00;
const HOST_NO_CONNECT: u16 = 0x01;
const HOST_TIMED_OUT: u16 = 0x03;
const HOST_BAD_TARGET: u16 = 0x04;
/// What the kernel's SCSI layer says (`DRIVER_*`); the upper half is advice.
const DRIVER_MASK: u16 = 0x0f;
const DRIVER_TIMED_OUT: u16 = 0x06;
const DRIVER_SENSE: u16 = 0x08;

pub(super) fn send(
    file: &File,
    command: &ScsiCommand<'_>,
    mut data: Transfer<'_>,
) -> Result<ScsiReply, CommandError> {
    if !(6..=16).contains(&command.cdb.len()) {
        return Err(invalid("a command has 6 to 16 bytes"));
    }
    let (direction, address, length) = match &mut data {
        Transfer::None => (NO_DATA, ptr::null_mut(), 0),
        Transfer::FromDevice(buffer) => (FROM_DEVICE, buffer.as_mut_ptr(), buffer.len()),
        Transfer::ToDevice(bytes) => (TO_DEVICE, bytes.as_ptr().cast_mut(), bytes.len()),
    };
    let mut sense = [0; SENSE];
    let mut header = Header {
        interface_id: c_int::from(b'S'),
        direction,
        command_length: command.cdb.len() as c_uchar,
        sense_room: SENSE as c_uchar,
        vector_count: 0,
        data_length: c_uint::try_from(length).map_err(|_| invalid("too much data for one command"))?,
        data: address.cast(),
        command: command.cdb.as_ptr(),
        sense: sense.as_mut_ptr(),
        timeout_ms: milliseconds(command.timeout),
        flags: 0,
        pack_id: 0,
        user: ptr::null_mut(),
        status: 0,
        masked_status: 0,
        message_status: 0,
        sense_length: 0,
        host_status: 0,
        driver_status: 0,
        residual: 0,
        duration_ms: 0,
        info: 0,
    };
    // SAFETY: the descriptor is open and the structure is the one that the kernel expects. Its pointers and lengths
    // are those of slices that live until the call returns; the kernel writes to the sense buffer and, because the
    // direction says so, to the data only where it was borrowed mutably.
    if let Err(errno) = unsafe { raw::sg_io(file.as_raw_fd(), &mut header) } {
        return Err(failure(file, errno.into()));
    }
    let sense = sense[..usize::from(header.sense_length).min(SENSE)].to_vec();
    let residual = usize::try_from(header.residual).unwrap_or(0).min(length);
    judge(header.host_status, header.driver_status, ScsiReply { status: header.status, sense, residual })
}

/// Whether the file takes SCSI commands.
pub(super) fn is_scsi(file: &File) -> bool {
    let mut version = 0;
    // SAFETY: the descriptor is open and the kernel writes one int.
    unsafe { raw::sg_get_version(file.as_raw_fd(), &mut version) }.is_ok()
}

/// The drive's own answer counts for more than what the layers above made of it: they mark refused commands as
/// failures of the target, too.
fn judge(host: u16, driver: u16, reply: ScsiReply) -> Result<ScsiReply, CommandError> {
    let driver = driver & DRIVER_MASK;
    if host == HOST_TIMED_OUT || driver == DRIVER_TIMED_OUT {
        return Err(CommandError::TimedOut);
    }
    if reply.status != 0
        || !reply.sense.is_empty()
        || (host == HOST_OK && [0, DRIVER_SENSE].contains(&driver))
    {
        return Ok(reply);
    }
    let source = match host {
        HOST_NO_CONNECT | HOST_BAD_TARGET => io::Error::from_raw_os_error(libc::ENODEV),
        _ => io::Error::other(format!("host status {host:#04x}, driver status {driver:#04x}")),
    };
    Err(CommandError::Transport { source })
}

fn failure(file: &File, source: io::Error) -> CommandError {
    match source.raw_os_error() {
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOSYS) => CommandError::NoPassThrough,
        // What drivers that do not know the request say, among them that of loop devices.
        Some(libc::EINVAL) if !is_scsi(file) => CommandError::NoPassThrough,
        Some(libc::ETIMEDOUT) => CommandError::TimedOut,
        _ => CommandError::Transport { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drives_answer_counts_before_the_hosts() {
        let reply = |status| ScsiReply { status, sense: Vec::new(), residual: 0 };
        assert!(judge(0, 0, reply(0)).is_ok());
        // A check condition is marked as such by the driver, and as a target failure by some kernels.
        assert_eq!(judge(0x10, DRIVER_SENSE, reply(2)).unwrap().status, 2);
        assert_eq!(judge(0x11, 0, reply(0x18)).unwrap().status, 0x18);
        assert!(matches!(judge(HOST_TIMED_OUT, 0, reply(2)), Err(CommandError::TimedOut)));
        assert!(matches!(judge(0, DRIVER_TIMED_OUT, reply(0)), Err(CommandError::TimedOut)));
        let Err(CommandError::Transport { source }) = judge(HOST_NO_CONNECT, 0, reply(0)) else {
            panic!("a drive that is gone answered");
        };
        assert_eq!(source.raw_os_error(), Some(libc::ENODEV));
        assert!(matches!(judge(7, 0, reply(0)), Err(CommandError::Transport { .. })));
        // ATA PASS-THROUGH with CK_COND answers with sense data in any case.
        let sense = ScsiReply { status: 0, sense: vec![0x72], residual: 0 };
        assert!(judge(0, DRIVER_SENSE, sense).is_ok());
    }

    #[test]
    fn commands_have_6_to_16_bytes() {
        let file = tempfile::tempfile().unwrap();
        for cdb in [&[0; 5][..], &[0; 17]] {
            let command = ScsiCommand { cdb, timeout: std::time::Duration::from_secs(1) };
            assert!(matches!(
                send(&file, &command, Transfer::None),
                Err(CommandError::Transport { source }) if source.kind() == io::ErrorKind::InvalidInput
            ));
        }
    }
}
