//! NVMe admin commands through the kernel (`linux/nvme_ioctl.h`).
#![expect(unsafe_code, reason = "ioctls")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::{CommandError, NvmeCommand, Transfer};

/// `struct nvme_passthru_cmd`.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct PassthruCommand {
    opcode: u8,
    flags: u8,
    reserved: u16,
    namespace: u32,
    dword2: u32,
    dword3: u32,
    metadata: u64,
    address: u64,
    metadata_length: u32,
    data_length: u32,
    dwords: [u32; 6],
    timeout_ms: u32,
    result: u32,
}

const _: () = assert!(size_of::<PassthruCommand>() == 72, "the kernel's structure has 72 bytes");

mod raw {
    nix::ioctl_none!(nvme_namespace_id, b'N', 0x40);
    nix::ioctl_readwrite!(nvme_admin_command, b'N', 0x41, super::PassthruCommand);
    nix::ioctl_readwrite!(nvme_io_command, b'N', 0x43, super::PassthruCommand);
}

/// Status code type of what happens on the way, and the first code of it that only hosts use (NVMe Base 2.1,
/// 4.2.3.4).
const PATH_RELATED: u8 = 3;
const FIRST_HOST_CODE: u8 = 0x70;
const DO_NOT_RETRY: i32 = 1 << 14;

/// Which queue a command goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Admin,
    Io,
}

pub(super) fn send(
    file: &File,
    queue: Queue,
    command: &NvmeCommand,
    mut data: Transfer<'_>,
) -> Result<u32, CommandError> {
    // The kernel writes through the address only for commands that transfer from the device, which the opcode says;
    // a slice that must not change is never given to one.
    let reads = command.opcode & 3 == 2;
    let (address, length) = match &mut data {
        Transfer::None => (0, 0),
        Transfer::FromDevice(buffer) if reads => (buffer.as_mut_ptr() as u64, buffer.len()),
        Transfer::ToDevice(bytes) if !reads => (bytes.as_ptr() as u64, bytes.len()),
        Transfer::FromDevice(_) | Transfer::ToDevice(_) => {
            return Err(invalid("the opcode transfers the other way"));
        }
    };
    let mut passthru = PassthruCommand {
        opcode: command.opcode,
        namespace: command.namespace,
        address,
        data_length: u32::try_from(length).map_err(|_| invalid("too much data for one command"))?,
        dwords: command.dwords,
        timeout_ms: milliseconds(command.timeout),
        ..PassthruCommand::default()
    };
    let started = Instant::now();
    // SAFETY: the descriptor is open, the structure is the one that both requests expect, and its address and length
    // are those of a slice that is borrowed, mutably where the kernel writes to it, until the call returns.
    let answer = unsafe {
        match queue {
            Queue::Admin => raw::nvme_admin_command(file.as_raw_fd(), &mut passthru),
            Queue::Io => raw::nvme_io_command(file.as_raw_fd(), &mut passthru),
        }
    };
    match answer {
        Ok(0) => Ok(passthru.result),
        Ok(status) => Err(decode(status)),
        Err(errno) => Err(failure(file, errno.into(), started.elapsed() >= command.timeout)),
    }
}

/// Number of the namespace behind the file.
pub(super) fn namespace(file: &File) -> Result<u32, CommandError> {
    // SAFETY: the descriptor is open and this request has no argument.
    match unsafe { raw::nvme_namespace_id(file.as_raw_fd()) } {
        // Numbers above i32::MAX look negative, and the one that looks like an error is that of all namespaces.
        Ok(number) => Ok(number as u32),
        Err(_) => Err(CommandError::NoPassThrough),
    }
}

/// Whether the file is a namespace of an NVMe controller.
pub(super) fn is_namespace(file: &File) -> bool {
    namespace(file).is_ok()
}

/// For the kernel, where 0 would be its own default.
pub(super) fn milliseconds(timeout: Duration) -> u32 {
    u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1)
}

pub(super) fn invalid(problem: &'static str) -> CommandError {
    CommandError::Transport { source: io::Error::new(io::ErrorKind::InvalidInput, problem) }
}

/// The status field of a completion without its phase tag (NVMe Base 2.1, 4.2.3).
fn decode(status: i32) -> CommandError {
    let [code, upper, ..] = status.to_le_bytes();
    let code_type = upper & 7;
    if code_type == PATH_RELATED && code >= FIRST_HOST_CODE {
        return CommandError::Transport { source: io::Error::from_raw_os_error(libc::EIO) };
    }
    CommandError::Nvme { code_type, code, do_not_retry: status & DO_NOT_RETRY != 0 }
}

fn failure(file: &File, source: io::Error, late: bool) -> CommandError {
    match source.raw_os_error() {
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOSYS) => CommandError::NoPassThrough,
        // What drivers that do not know the request say, among them those of SCSI disks and loop devices.
        Some(libc::EINVAL) if !is_namespace(file) => CommandError::NoPassThrough,
        // The kernel cancelled the command: because of its time limit, or as part of a reset of the controller.
        Some(libc::EINTR) if late => CommandError::TimedOut,
        Some(libc::ETIMEDOUT) => CommandError::TimedOut,
        _ => CommandError::Transport { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_taken_apart() {
        // Generic, invalid opcode, do not retry.
        let CommandError::Nvme { code_type: 0, code: 1, do_not_retry: true } = decode(0x4001) else {
            panic!("{:?}", decode(0x4001));
        };
        // Command specific, firmware activation requires a reset, more information in the error log.
        let CommandError::Nvme { code_type: 1, code: 0x0b, do_not_retry: false } = decode(0x210b) else {
            panic!("{:?}", decode(0x210b));
        };
        assert!(matches!(decode(0x0371), CommandError::Transport { .. }), "a command that the host aborted");
        assert!(matches!(decode(0x0302), CommandError::Nvme { code_type: 3, code: 2, .. }));
    }

    #[test]
    fn only_a_cancelled_command_that_took_its_time_timed_out() {
        let file = tempfile::tempfile().unwrap();
        let with = |errno, late| failure(&file, io::Error::from_raw_os_error(errno), late);
        assert!(matches!(with(libc::EINTR, true), CommandError::TimedOut));
        assert!(matches!(with(libc::EINTR, false), CommandError::Transport { .. }));
        assert!(matches!(with(libc::ENODEV, true), CommandError::Transport { .. }));
        assert!(matches!(with(libc::EINVAL, false), CommandError::NoPassThrough), "not an NVMe device");
    }

    #[test]
    fn no_timeout_is_the_kernels_default() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_secs(90)), 90_000);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
    }
}
