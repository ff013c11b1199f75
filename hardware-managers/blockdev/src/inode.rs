use std::fs::File;
use std::path::Path;

use libc::c_int;

use crate::error::Error;
use crate::ioctl;

/// `FS_IMMUTABLE_FL` of `linux/fs.h`.
const IMMUTABLE: c_int = 0x10;

/// Sets or clears the immutable flag of a file. The kernel gives it to EFI variables (efivarfs) so that nobody
/// deletes one by accident; whoever replaces a variable on purpose clears it first.
///
/// # Errors
///
/// [`Error::Open`], or [`Error::Ioctl`] where the file system has no such flag or the caller may not set it.
pub fn set_immutable(path: &Path, immutable: bool) -> Result<(), Error> {
    let file = File::open(path).map_err(|source| Error::Open { device: path.to_owned(), source })?;
    let failed = |request| move |source| Error::Ioctl { device: path.to_owned(), request, source };
    let before = ioctl::inode_flags(&file).map_err(failed("FS_IOC_GETFLAGS"))?;
    let after = if immutable { before | IMMUTABLE } else { before & !IMMUTABLE };
    if after == before {
        return Ok(());
    }
    ioctl::set_inode_flags(&file, after).map_err(failed("FS_IOC_SETFLAGS"))
}
