use std::io;
use std::os::unix::fs::FileExt;

use nix::errno::Errno;

use super::Device;
use crate::buffer::AlignedBuf;
use crate::error::Error;
use crate::ioctl;

/// Largest piece that goes through a bounce buffer.
const PIECE: usize = 1 << 20;

impl Device {
    /// Fills `buf` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] before anything is read, [`Error::Read`].
    pub fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.check_range(offset, buf.len() as u64)?;
        let length = buf.len() as u64;
        self.read_range(offset, buf).map_err(|source| Error::Read {
            device: self.path.clone(),
            offset,
            length,
            source: self.explained(source),
        })
    }

    /// Writes `buf` at `offset`. Sectors at the edges that it covers in part keep their other bytes.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`] before anything is written, [`Error::Write`].
    pub fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        self.check_range(offset, buf.len() as u64)?;
        self.write_range(offset, buf).map_err(|source| Error::Write {
            device: self.path.clone(),
            offset,
            length: buf.len() as u64,
            source: self.explained(source),
        })
    }

    /// Waits until everything written is on stable storage.
    ///
    /// # Errors
    ///
    /// [`Error::Flush`].
    pub fn flush(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| Error::Flush { device: self.path.clone(), source })
    }

    /// `ENODEV` where the kernel says something else of a disk that was taken away.
    pub(super) fn explained(&self, error: io::Error) -> io::Error {
        if self.block_device { taken_away(error, || ioctl::size_bytes(&self.file)) } else { error }
    }

    /// Whether a request can go to the kernel as it is.
    fn passes(&self, offset: u64, buf: &[u8]) -> bool {
        offset.is_multiple_of(self.alignment)
            && (buf.len() as u64).is_multiple_of(self.alignment)
            && (buf.as_ptr() as u64).is_multiple_of(self.alignment)
    }

    fn read_range(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.passes(offset, buf) {
            return self.file.read_exact_at(buf, offset);
        }
        let block = self.alignment;
        let mut bounce = AlignedBuf::new(bounce_len(buf.len(), block));
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let start = at - at % block;
            let skip = (at - start) as usize;
            let piece = (bounce.len() - skip).min(buf.len() - done);
            let whole = (skip + piece).next_multiple_of(block as usize);
            self.file.read_exact_at(&mut bounce[..whole], start)?;
            buf[done..done + piece].copy_from_slice(&bounce[skip..skip + piece]);
            done += piece;
        }
        Ok(())
    }

    pub(super) fn write_range(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if self.passes(offset, buf) {
            return self.file.write_all_at(buf, offset);
        }
        let block = self.alignment;
        let mut bounce = AlignedBuf::new(bounce_len(buf.len(), block));
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let start = at - at % block;
            let skip = (at - start) as usize;
            let piece = (bounce.len() - skip).min(buf.len() - done);
            let whole = (skip + piece).next_multiple_of(block as usize);
            let edge = skip != 0 || whole != skip + piece;
            let guard = edge.then(|| self.edges.lock());
            if skip != 0 {
                self.file.read_exact_at(&mut bounce[..block as usize], start)?;
            }
            if whole != skip + piece && (skip == 0 || whole > block as usize) {
                let last = whole - block as usize;
                self.file.read_exact_at(&mut bounce[last..whole], start + last as u64)?;
            }
            bounce[skip..skip + piece].copy_from_slice(&buf[done..done + piece]);
            self.file.write_all_at(&bounce[..whole], start)?;
            drop(guard);
            done += piece;
        }
        Ok(())
    }
}

/// A disk that is taken away has no bytes left before anything else: what comes after that moment writes behind its end
/// ("no space left") or reads there (nothing), which says something about a disk that is still there.
fn taken_away(error: io::Error, size_now: impl FnOnce() -> io::Result<u64>) -> io::Error {
    let behind_the_end = error.raw_os_error() == Some(libc::ENOSPC)
        || matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::WriteZero);
    if behind_the_end && matches!(size_now(), Ok(0)) { Errno::ENODEV.into() } else { error }
}

/// Length of a bounce buffer of whole blocks for a request that may begin and end within one.
fn bounce_len(len: usize, block: u64) -> usize {
    let block = block as usize;
    (len + 2 * block).min(PIECE.max(block)).next_multiple_of(block)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_without_bytes_was_taken_away() {
        let behind = [io::Error::from_raw_os_error(libc::ENOSPC), io::ErrorKind::UnexpectedEof.into()];
        for error in behind {
            assert_eq!(taken_away(error, || Ok(0)).raw_os_error(), Some(libc::ENODEV));
        }
        // A thinly provisioned disk may be full, and a broken one may not tell its size.
        for size in [Ok(512), Err(io::ErrorKind::Other.into())] {
            let error = taken_away(io::Error::from_raw_os_error(libc::ENOSPC), || size);
            assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        }
        let broken = taken_away(io::Error::from_raw_os_error(libc::EIO), || Ok(0));
        assert_eq!(broken.raw_os_error(), Some(libc::EIO));
    }
}
