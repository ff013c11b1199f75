//! TCG Opal through the kernel, which speaks the protocol itself (`linux/sed-opal.h`).
#![expect(unsafe_code, reason = "ioctls")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::CommandError;
use super::nvme::{invalid, is_namespace};
use super::scsi::is_scsi;

/// `OPAL_KEY_MAX`.
const KEY_ROOM: usize = 256;

/// `struct opal_key`; newer kernels keep the type of the key in the first byte of the padding, where 0 says that
/// the key is in the structure.
#[repr(C)]
pub(super) struct Key {
    locking_range: u8,
    length: u8,
    padding: [u8; 6],
    key: [u8; KEY_ROOM],
}

const _: () = assert!(size_of::<Key>() == 264, "the kernel's structure has 264 bytes");

/// The kernel's own `ENOTSUPP`, which older versions let out.
const NOT_SUPPORTED_INSIDE: i32 = 524;

mod raw {
    nix::ioctl_write_ptr!(opal_psid_revert, b'p', 232, super::Key);
}

pub(super) fn revert_by_psid(file: &File, psid: &str) -> Result<(), CommandError> {
    let mut key = Key { locking_range: 0, length: 0, padding: [0; 6], key: [0; KEY_ROOM] };
    key.length = u8::try_from(psid.len())
        .ok()
        .filter(|length| *length > 0)
        .ok_or_else(|| invalid("a PSID has 1 to 255 bytes"))?;
    key.key[..psid.len()].copy_from_slice(psid.as_bytes());
    // SAFETY: the descriptor is open and the kernel reads one structure of this layout.
    match unsafe { raw::opal_psid_revert(file.as_raw_fd(), &key) } {
        Ok(0) => Ok(()),
        Ok(status) => Err(CommandError::Opal { status }),
        Err(errno) => Err(failure(file, errno.into())),
    }
}

fn failure(file: &File, source: io::Error) -> CommandError {
    match source.raw_os_error() {
        Some(libc::ENOTTY | libc::EOPNOTSUPP | libc::ENOSYS | NOT_SUPPORTED_INSIDE) => {
            CommandError::NoPassThrough
        }
        Some(libc::EINVAL) if !is_namespace(file) && !is_scsi(file) => CommandError::NoPassThrough,
        Some(libc::ETIMEDOUT) => CommandError::TimedOut,
        _ => CommandError::Transport { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_psid_that_cannot_be_one_is_not_sent() {
        let file = tempfile::tempfile().unwrap();
        for psid in [String::new(), "A".repeat(256)] {
            assert!(matches!(
                revert_by_psid(&file, &psid),
                Err(CommandError::Transport { source }) if source.kind() == io::ErrorKind::InvalidInput
            ));
        }
    }
}
