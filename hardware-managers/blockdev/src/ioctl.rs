//! The ioctls of `linux/fs.h` and `linux/blkdev.h` behind safe functions on an open file.
#![expect(unsafe_code, reason = "ioctls")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use libc::{c_int, c_long, c_uint};

mod raw {
    use libc::{c_int, c_long, c_uint};

    nix::ioctl_read!(blkgetsize64, 0x12, 114, usize);
    nix::ioctl_read_bad!(blkroget, nix::request_code_none!(0x12, 94), c_int);
    nix::ioctl_none_bad!(blkrrpart, nix::request_code_none!(0x12, 95));
    nix::ioctl_read_bad!(blksszget, nix::request_code_none!(0x12, 104), c_int);
    nix::ioctl_read_bad!(blkpbszget, nix::request_code_none!(0x12, 123), c_uint);
    nix::ioctl_write_ptr_bad!(blkdiscard, nix::request_code_none!(0x12, 119), [u64; 2]);
    nix::ioctl_write_ptr_bad!(blkzeroout, nix::request_code_none!(0x12, 127), [u64; 2]);
    nix::ioctl_read!(fs_ioc_getflags, b'f', 1, c_long);
    nix::ioctl_write_ptr!(fs_ioc_setflags, b'f', 2, c_long);
}

fn checked(result: nix::Result<c_int>) -> io::Result<()> {
    result.map(|_| ()).map_err(io::Error::from)
}

/// Size of a block device in bytes.
pub(crate) fn size_bytes(file: &File) -> io::Result<u64> {
    // The header says size_t, the kernel writes a u64 everywhere: room for both.
    let mut size = [0u64; 1];
    // SAFETY: the descriptor is open and the pointer leads to eight writable bytes, which is what the kernel fills.
    checked(unsafe { raw::blkgetsize64(file.as_raw_fd(), size.as_mut_ptr().cast()) })?;
    Ok(size[0])
}

pub(crate) fn is_read_only(file: &File) -> io::Result<bool> {
    let mut flag: c_int = 0;
    // SAFETY: the descriptor is open and the kernel writes one int.
    checked(unsafe { raw::blkroget(file.as_raw_fd(), &mut flag) })?;
    Ok(flag != 0)
}

/// Logical sector size in bytes.
pub(crate) fn logical_sector(file: &File) -> io::Result<u32> {
    let mut size: c_int = 0;
    // SAFETY: the descriptor is open and the kernel writes one int.
    checked(unsafe { raw::blksszget(file.as_raw_fd(), &mut size) })?;
    u32::try_from(size).map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Physical sector size in bytes.
pub(crate) fn physical_sector(file: &File) -> io::Result<u32> {
    let mut size: c_uint = 0;
    // SAFETY: the descriptor is open and the kernel writes one unsigned int.
    checked(unsafe { raw::blkpbszget(file.as_raw_fd(), &mut size) })?;
    Ok(size)
}

pub(crate) fn discard(file: &File, offset: u64, len: u64) -> io::Result<()> {
    // SAFETY: the descriptor is open and the kernel reads two u64: start and length.
    checked(unsafe { raw::blkdiscard(file.as_raw_fd(), &[offset, len]) })
}

pub(crate) fn zero_out(file: &File, offset: u64, len: u64) -> io::Result<()> {
    // SAFETY: the descriptor is open and the kernel reads two u64: start and length.
    checked(unsafe { raw::blkzeroout(file.as_raw_fd(), &[offset, len]) })
}

pub(crate) fn reread_partition_table(file: &File) -> io::Result<()> {
    // SAFETY: the descriptor is open and this request has no argument.
    checked(unsafe { raw::blkrrpart(file.as_raw_fd()) })
}

/// Inode flags (`FS_*_FL`).
pub(crate) fn inode_flags(file: &File) -> io::Result<c_int> {
    // The header says long, the kernel fills an int: read the part that it filled.
    let mut flags = [0 as c_int; 2];
    // SAFETY: the descriptor is open and the pointer leads to the size of a long on every target.
    checked(unsafe { raw::fs_ioc_getflags(file.as_raw_fd(), flags.as_mut_ptr().cast()) })?;
    Ok(flags[0])
}

pub(crate) fn set_inode_flags(file: &File, flags: c_int) -> io::Result<()> {
    let flags = [flags, 0 as c_int];
    // SAFETY: the descriptor is open; the kernel reads an int from room for a long.
    checked(unsafe { raw::fs_ioc_setflags(file.as_raw_fd(), flags.as_ptr().cast::<c_long>()) })
}
