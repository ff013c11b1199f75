use std::io;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::Device;
use crate::buffer::AlignedBuf;
use crate::error::Error;
use crate::ioctl;

/// Largest range given to the kernel at once: these requests cannot be interrupted, and kernels before 6.11 cut
/// the length of a zeroing request at 4 GiB without an error.
const RANGE: u64 = 64 << 20;
/// Largest piece that zeros are written in.
const PIECE: usize = 1 << 20;
/// Ranges shorter than this are written: giving blocks back costs a device or a file system some milliseconds however
/// short the range is, writing a MiB less than one (`docs/adr/0010-zeros.md`).
const WORTH_A_REQUEST: u64 = 1 << 20;

/// What zeros are written from. Nobody writes to it, so that it takes no memory: all its pages are the kernel's one
/// page of zeros.
static ZEROS: LazyLock<AlignedBuf> = LazyLock::new(|| AlignedBuf::new(PIECE));

/// Requests that the kernel said this device will never do, so that they are not tried for every range.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    punch: AtomicBool,
    zero_out: AtomicBool,
}

impl Device {
    /// Makes a range read as zeros, by whatever costs least among the requests that guarantee it: blocks are given
    /// back (hole punching), zeroed by the device or the kernel (`BLKZEROOUT`), or written, as short ranges always
    /// are.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] before anything is written, [`Error::Zero`].
    pub fn zero(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.check_range(offset, len)?;
        self.zero_range(offset, len).map_err(|source| Error::Zero {
            device: self.path.clone(),
            offset,
            length: len,
            source: self.explained(source),
        })
    }

    /// Gives the blocks of a range back where the device can do that and promises that it reads as zeros afterwards;
    /// zeroes it elsewhere. Other than after [`discard`](Self::discard), there is no doubt about the content. Today
    /// this is what [`zero`](Self::zero) does, too, because nothing that keeps the blocks is cheaper.
    ///
    /// # Errors
    ///
    /// As for [`zero`](Self::zero).
    pub fn deallocate(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.zero(offset, len)
    }

    /// Tells the device that a range is no longer needed; what it reads as afterwards is the device's choice.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::Discard`] (also where the device cannot).
    pub fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.check_range(offset, len)?;
        for (at, piece) in pieces(offset, offset + len) {
            let done =
                if self.block_device { ioctl::discard(&self.file, at, piece) } else { self.punch(at, piece) };
            done.map_err(|source| Error::Discard {
                device: self.path.clone(),
                offset: at,
                length: piece,
                source,
            })?;
        }
        Ok(())
    }

    fn zero_range(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = offset + len;
        // What direct I/O cannot address alone shares its block with a neighbour, which may be writing it back just now.
        let block = u64::from(self.logical_sector().max(1)).max(self.alignment);
        let (first, last) = (offset.next_multiple_of(block), end - end % block);
        if last.saturating_sub(first) < WORTH_A_REQUEST {
            return self.write_zeros(offset, end);
        }
        self.write_zeros(offset, first)?;
        for (at, piece) in pieces(first, last) {
            // Whatever the reason that the device refuses, plain writes settle the matter.
            if !self.punched(at, piece) && !self.zeroed_out(at, piece) {
                self.write_zeros(at, at + piece)?;
            }
        }
        self.write_zeros(last, end)
    }

    /// The guarantee is the kernel's: a hole of a file reads as zeros, and a block device gets a request that
    /// zeroes and may deallocate, or none at all (no fallback to a mere discard).
    fn punched(&self, offset: u64, len: u64) -> bool {
        attempt(&self.refusals.punch, || self.punch(offset, len))
    }

    fn zeroed_out(&self, offset: u64, len: u64) -> bool {
        self.block_device && attempt(&self.refusals.zero_out, || ioctl::zero_out(&self.file, offset, len))
    }

    fn punch(&self, offset: u64, len: u64) -> io::Result<()> {
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (Ok(start), Ok(length)) = (offset.try_into(), len.try_into()) else {
            return Err(Errno::EFBIG.into());
        };
        Ok(fallocate(&self.file, flags, start, length)?)
    }

    fn write_zeros(&self, offset: u64, end: u64) -> io::Result<()> {
        let mut at = offset;
        while at < end {
            // To the next multiple of a piece, so that only the first and the last one can be unaligned.
            let piece = (PIECE as u64 - at % PIECE as u64).min(end - at);
            self.write_range(at, &ZEROS[..piece as usize])?;
            at += piece;
        }
        Ok(())
    }
}

/// Whether a request was carried out. One that is not supported is remembered; other errors belong to the range.
fn attempt(refused: &AtomicBool, mut request: impl FnMut() -> io::Result<()>) -> bool {
    if refused.load(Ordering::Relaxed) {
        return false;
    }
    loop {
        match request() {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOTTY | libc::ENOSYS)) {
                    refused.store(true, Ordering::Relaxed);
                }
                return false;
            }
        }
    }
}

/// Cuts `start..end` at multiples of [`RANGE`].
fn pieces(start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
    let mut at = start;
    std::iter::from_fn(move || {
        let piece = (RANGE - at % RANGE).min(end.checked_sub(at).filter(|left| *left > 0)?);
        let found = (at, piece);
        at += piece;
        Some(found)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_bounded_and_leave_nothing_out() {
        assert_eq!(pieces(5, 5).count(), 0);
        assert_eq!(pieces(512, 1024).collect::<Vec<_>>(), [(512, 512)]);
        let (start, end) = (RANGE - 512, 3 * RANGE + 4096);
        let cut: Vec<_> = pieces(start, end).collect();
        assert_eq!(cut, [(start, 512), (RANGE, RANGE), (2 * RANGE, RANGE), (3 * RANGE, 4096)]);
    }

    #[test]
    fn only_what_is_not_supported_is_not_tried_again() {
        let refused = AtomicBool::new(false);
        let fail = |errno: i32| move || Err(io::Error::from_raw_os_error(errno));
        assert!(!attempt(&refused, fail(libc::EIO)));
        assert!(attempt(&refused, || Ok(())));
        assert!(!attempt(&refused, fail(libc::EOPNOTSUPP)));
        assert!(!attempt(&refused, || Ok(())), "asked again although it was refused for good");
        let mut interruptions = 2;
        let busy = || {
            if interruptions == 0 {
                return Ok(());
            }
            interruptions -= 1;
            Err(io::ErrorKind::Interrupted.into())
        };
        assert!(attempt(&AtomicBool::new(false), busy));
    }
}
