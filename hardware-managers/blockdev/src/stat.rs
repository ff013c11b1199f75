#![expect(unsafe_code, reason = "statx takes a pointer that it fills")]

use std::fs::File;
use std::os::fd::AsRawFd;

/// What memory, offsets and lengths of direct I/O on a file must be multiples of (`STATX_DIOALIGN`), in bytes.
/// `Some(0)` where this file has no direct I/O, `None` where the kernel or the file system does not say.
pub(crate) fn direct_alignment(file: &File) -> Option<u64> {
    // SAFETY: `statx` is plain data for which all zero bytes are valid.
    let mut found: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, the empty path is terminated, and `found` is writable and of the type that
    // the kernel fills.
    let result = unsafe {
        libc::statx(file.as_raw_fd(), c"".as_ptr(), libc::AT_EMPTY_PATH, libc::STATX_DIOALIGN, &raw mut found)
    };
    if result != 0 || found.stx_mask & libc::STATX_DIOALIGN == 0 {
        return None;
    }
    let (memory, offset) = (u64::from(found.stx_dio_mem_align), u64::from(found.stx_dio_offset_align));
    // Both are powers of two, so that the larger one is a multiple of the other.
    Some(if memory == 0 || offset == 0 { 0 } else { memory.max(offset) })
}
