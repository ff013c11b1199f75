#![expect(unsafe_code, reason = "the IPMI ioctls take pointers inside their structures")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use libc::{c_int, c_long, c_short, c_uchar, c_uint, c_ushort};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// A command for the management controller (IPMI 2.0, 5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpmiRequest<'a> {
    pub net_function: u8,
    pub command: u8,
    pub data: &'a [u8],
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpmiError {
    #[error("cannot open {}", device.display())]
    Open { device: PathBuf, source: io::Error },
    #[error("{request} failed")]
    Ioctl { request: &'static str, source: io::Error },
    #[error("the management controller did not answer in time")]
    TimedOut,
    /// The answer has no completion code, or is longer than any that IPMI knows.
    #[error("the answer of the management controller is cut")]
    Truncated,
    /// The controller refused (IPMI 2.0, 5.2).
    #[error("the management controller answered with completion code {code:#04x}")]
    Completion { code: u8 },
}

/// A management controller. [`IpmiDevice`] is the real one; tests play others.
pub trait Ipmi {
    /// Sends a command and waits; what comes back is the answer behind its completion code.
    ///
    /// # Errors
    ///
    /// [`IpmiError`]; a completion code other than 0 is [`IpmiError::Completion`].
    fn request(&self, request: &IpmiRequest<'_>) -> Result<Vec<u8>, IpmiError>;
}

/// The management controller behind the kernel's device (`linux/ipmi.h`).
#[derive(Debug)]
pub struct IpmiDevice {
    file: File,
    next_id: AtomicI64,
}

/// Longest message that the kernel hands out (`IPMI_MAX_MSG_LENGTH`).
const MAX_MESSAGE: usize = 272;
/// `IPMI_SYSTEM_INTERFACE_ADDR_TYPE`.
const SYSTEM_INTERFACE: c_int = 0x0c;
/// `IPMI_BMC_CHANNEL`.
const BMC_CHANNEL: c_short = 0x0f;
/// `IPMI_RESPONSE_RECV_TYPE`.
const RESPONSE: c_int = 1;

mod raw {
    use super::{c_int, c_long, c_short, c_uchar, c_uint, c_ushort};

    /// `struct ipmi_system_interface_addr`.
    #[repr(C)]
    pub(super) struct SystemInterface {
        pub(super) kind: c_int,
        pub(super) channel: c_short,
        pub(super) lun: c_uchar,
    }

    /// `struct ipmi_addr`: room for an address of any kind.
    #[repr(C)]
    pub(super) struct AnyAddress {
        pub(super) kind: c_int,
        pub(super) channel: c_short,
        pub(super) data: [c_uchar; 32],
    }

    /// `struct ipmi_msg`.
    #[repr(C)]
    pub(super) struct Message {
        pub(super) net_function: c_uchar,
        pub(super) command: c_uchar,
        pub(super) length: c_ushort,
        pub(super) data: *mut c_uchar,
    }

    /// `struct ipmi_req`.
    #[repr(C)]
    pub(super) struct Request {
        pub(super) address: *mut c_uchar,
        pub(super) address_length: c_uint,
        pub(super) id: c_long,
        pub(super) message: Message,
    }

    /// `struct ipmi_recv`.
    #[repr(C)]
    pub(super) struct Received {
        pub(super) kind: c_int,
        pub(super) address: *mut c_uchar,
        pub(super) address_length: c_uint,
        pub(super) id: c_long,
        pub(super) message: Message,
    }

    // The header calls it a read although the kernel only reads the structure.
    nix::ioctl_read!(send_command, b'i', 13, Request);
    nix::ioctl_readwrite!(receive_truncated, b'i', 11, Received);
}

impl IpmiDevice {
    /// Opens `/dev/ipmi0` or its like. Sends nothing.
    ///
    /// # Errors
    ///
    /// [`IpmiError::Open`].
    pub fn open(device: &Path) -> Result<Self, IpmiError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(device)
            .map_err(|source| IpmiError::Open { device: device.to_owned(), source })?;
        Ok(Self { file, next_id: AtomicI64::new(1) })
    }

    fn send(&self, request: &IpmiRequest<'_>, id: c_long) -> Result<(), IpmiError> {
        let mut address = raw::SystemInterface { kind: SYSTEM_INTERFACE, channel: BMC_CHANNEL, lun: 0 };
        let mut data = request.data.to_vec();
        let mut message = raw::Request {
            address: (&raw mut address).cast(),
            address_length: size_of::<raw::SystemInterface>() as c_uint,
            id,
            message: raw::Message {
                net_function: request.net_function,
                command: request.command,
                length: c_ushort::try_from(data.len()).map_err(|_| IpmiError::Truncated)?,
                data: data.as_mut_ptr(),
            },
        };
        // SAFETY: the descriptor is open; both pointers lead to memory that lives past the call and is as long as
        // the lengths beside them say; the kernel copies from all three and keeps none.
        unsafe { raw::send_command(self.file.as_raw_fd(), &raw mut message) }
            .map(|_| ())
            .map_err(|error| IpmiError::Ioctl { request: "IPMICTL_SEND_COMMAND", source: error.into() })
    }

    /// The next message that waits for this file: its kind, the id it answers, and its data.
    fn receive(&self) -> Result<Option<(c_int, c_long, Vec<u8>)>, IpmiError> {
        let mut address = raw::AnyAddress { kind: 0, channel: 0, data: [0; 32] };
        let mut data = vec![0_u8; MAX_MESSAGE];
        let mut received = raw::Received {
            kind: 0,
            address: (&raw mut address).cast(),
            address_length: size_of::<raw::AnyAddress>() as c_uint,
            id: 0,
            message: raw::Message {
                net_function: 0,
                command: 0,
                length: MAX_MESSAGE as c_ushort,
                data: data.as_mut_ptr(),
            },
        };
        // SAFETY: the descriptor is open; both pointers lead to writable memory that lives past the call and is as
        // long as the lengths beside them say; the kernel fills no more than that.
        match unsafe { raw::receive_truncated(self.file.as_raw_fd(), &raw mut received) } {
            Ok(_) => {}
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            Err(Errno::EMSGSIZE) => return Err(IpmiError::Truncated),
            Err(error) => {
                let request = "IPMICTL_RECEIVE_MSG_TRUNC";
                return Err(IpmiError::Ioctl { request, source: error.into() });
            }
        }
        data.truncate(usize::from(received.message.length));
        Ok(Some((received.kind, received.id, data)))
    }
}

impl Ipmi for IpmiDevice {
    fn request(&self, request: &IpmiRequest<'_>) -> Result<Vec<u8>, IpmiError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed) as c_long;
        self.send(request, id)?;
        loop {
            let left = request.deadline.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            let mut waiting = [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)];
            match poll(&mut waiting, timeout) {
                Ok(0) if left.is_zero() => return Err(IpmiError::TimedOut),
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(IpmiError::Ioctl { request: "poll", source: error.into() }),
            }
            // Events and answers that came too late for an earlier request are passed over.
            if let Some((RESPONSE, answered, data)) = self.receive()?
                && answered == id
            {
                return match data.split_first() {
                    None => Err(IpmiError::Truncated),
                    Some((0, rest)) => Ok(rest.to_vec()),
                    Some((&code, _)) => Err(IpmiError::Completion { code }),
                };
            }
            if Instant::now() >= request.deadline {
                return Err(IpmiError::TimedOut);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ask(device: &Path) -> Result<Vec<u8>, IpmiError> {
        let request = IpmiRequest {
            net_function: 6,
            command: 1,
            data: &[],
            deadline: Instant::now() + Duration::from_secs(1),
        };
        IpmiDevice::open(device)?.request(&request)
    }

    #[test]
    fn what_is_no_management_controller_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(ask(&folder.path().join("ipmi0")), Err(IpmiError::Open { .. })));
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for other in [file.as_path(), Path::new("/dev/null")] {
            let refused = ask(other).unwrap_err();
            assert!(
                matches!(refused, IpmiError::Ioctl { request: "IPMICTL_SEND_COMMAND", .. }),
                "{refused:?}"
            );
        }
    }

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn structures_have_the_kernel_s_sizes() {
        assert_eq!((size_of::<raw::Request>(), size_of::<raw::Received>()), (40, 48));
        assert_eq!((size_of::<raw::Message>(), size_of::<raw::SystemInterface>()), (16, 8));
    }
}
