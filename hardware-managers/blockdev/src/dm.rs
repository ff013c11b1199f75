//! Device-mapper, by its control node (`linux/dm-ioctl.h`).
#![expect(unsafe_code, reason = "ioctls")]

use std::fs::OpenOptions;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::busy::retry_while_busy;
use crate::error::Error;

/// `struct dm_ioctl`, without the data that some requests append.
#[repr(C)]
struct Request {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

const SIZE: usize = size_of::<Request>();
// The kernel's structure has this size on every architecture; the request's number depends on it.
const _: () = assert!(SIZE == 312);

nix::ioctl_readwrite!(dm_dev_remove, 0xfd, 4, Request);

/// Removes a mapped device, named by its major and minor number. `control` is `/dev/mapper/control`.
///
/// # Errors
///
/// [`Error::InUse`] when it stays open or mapped upon for two seconds, [`Error::Open`], [`Error::Ioctl`].
pub fn remove_mapped_device(control: &Path, number: (u64, u64)) -> Result<(), Error> {
    let node = OpenOptions::new()
        .read(true)
        .write(true)
        .open(control)
        .map_err(|source| Error::Open { device: control.to_owned(), source })?;
    retry_while_busy(control, "DM_DEV_REMOVE", || {
        let mut request = Request {
            version: [4, 0, 0],
            data_size: SIZE as u32,
            data_start: SIZE as u32,
            target_count: 0,
            open_count: 0,
            flags: 0,
            event: 0,
            padding: 0,
            device: encode(number),
            name: [0; 128],
            uuid: [0; 129],
            data: [0; 7],
        };
        // SAFETY: the descriptor is open, and the request is as large as its `data_size` says, which bounds what the
        // kernel reads and writes.
        unsafe { dm_dev_remove(node.as_raw_fd(), &raw mut request) }.map(|_| ()).map_err(io::Error::from)
    })
}

/// The kernel's `huge_encode_dev`.
fn encode((major, minor): (u64, u64)) -> u64 {
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_as_the_kernel_does() {
        assert_eq!(encode((253, 3)), 0xfd03);
        assert_eq!(encode((253, 0x1ff)), (0x100 << 12) | 0xfdff);
    }

    #[test]
    fn a_control_node_that_is_missing_or_none_is_an_error() {
        let number = (253, 0);
        let missing = remove_mapped_device(Path::new("/no/such/control"), number);
        assert!(matches!(missing, Err(Error::Open { .. })), "{missing:?}");
        let other = remove_mapped_device(Path::new("/dev/null"), number);
        assert!(matches!(other, Err(Error::Ioctl { request: "DM_DEV_REMOVE", .. })), "{other:?}");
    }
}
