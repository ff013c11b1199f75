#![expect(unsafe_code, reason = "swapoff takes a pointer to the path")]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::error::Error;

/// Ends swapping to a device or a file (swapoff(2)). Takes as long as reading back what was swapped out.
///
/// # Errors
///
/// [`Error::Ioctl`]: not swapped to, not permitted, or not enough memory for what is there.
pub fn swap_off(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Ioctl { device: path.to_owned(), request: "swapoff", source };
    let name = CString::new(path.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
    // SAFETY: the path is terminated and lives until the call returns.
    match unsafe { libc::swapoff(name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(failed(io::Error::last_os_error())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_swapped_to_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(matches!(swap_off(file.path()), Err(Error::Ioctl { request: "swapoff", .. })));
    }
}
