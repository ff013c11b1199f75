//! Software RAID (`linux/raid/md_u.h`).
#![expect(unsafe_code, reason = "ioctls")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::busy::retry_while_busy;
use crate::error::Error;

// MD_MAJOR is the type of these requests.
nix::ioctl_none!(md_stop_array, 9, 0x32);

/// Stops an array and gives its members back. What is on them stays as it is.
///
/// # Errors
///
/// [`Error::InUse`] when it stays open for two seconds, [`Error::Open`], [`Error::Ioctl`].
pub fn stop_array(node: &Path) -> Result<(), Error> {
    let device = File::open(node).map_err(|source| Error::Open { device: node.to_owned(), source })?;
    retry_while_busy(node, "STOP_ARRAY", || {
        // SAFETY: the descriptor is open and this request has no argument.
        unsafe { md_stop_array(device.as_raw_fd()) }.map(|_| ()).map_err(io::Error::from)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_array_is_an_error() {
        let error = stop_array(Path::new("/dev/null")).unwrap_err();
        assert!(matches!(error, Error::Ioctl { request: "STOP_ARRAY", .. }), "{error:?}");
    }
}
