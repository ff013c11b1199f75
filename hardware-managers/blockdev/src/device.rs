use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, OFlag, fallocate, fcntl};

use crate::buffer::AlignedBuf;
use crate::error::Error;
use crate::ioctl;

/// Largest piece that goes through a bounce buffer, or that zeros are written in.
const PIECE: usize = 1 << 20;
/// Largest range given to one `BLKZEROOUT` or `BLKDISCARD`: these cannot be interrupted.
const RANGE: u64 = 256 << 20;
/// How often and how far apart a busy partition rescan is tried again: udev opens a disk for moments at a time.
const RESCANS: u32 = 20;
const RESCAN_PAUSE: Duration = Duration::from_millis(100);

/// How a device is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    ReadWrite,
    /// Reading and writing, refused by the kernel (`O_EXCL`) for block devices that are mounted or otherwise held.
    Exclusive,
}

/// An open block device, or a regular file that stands for one.
///
/// Reads and writes may begin and end anywhere. Block devices are accessed with `O_DIRECT` where the kernel grants
/// it; aligned requests from aligned memory ([`AlignedBuf`]) then go to the device without a copy.
#[derive(Debug)]
pub struct Device {
    file: File,
    path: PathBuf,
    size_bytes: u64,
    logical_sector: u32,
    physical_sector: u32,
    read_only: bool,
    block_device: bool,
    direct: bool,
    /// Held while the edge sectors of an unaligned write are read, changed and written back.
    edges: Mutex<()>,
}

impl Device {
    /// Opens `path`, which must lead to a block device or a regular file.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] when exclusive access is refused, [`Error::NotADevice`], [`Error::Open`], [`Error::Ioctl`].
    pub fn open(path: &Path, access: Access) -> Result<Self, Error> {
        let device = || path.to_owned();
        let cannot_open = |source| Error::Open { device: device(), source };
        // Looked at before it is opened: opening a FIFO blocks, opening a tape rewinds it.
        let kind = path.metadata().map_err(cannot_open)?.file_type();
        let block_device = kind.is_block_device();
        if !block_device && !kind.is_file() {
            return Err(Error::NotADevice { device: device() });
        }
        let mut options = OpenOptions::new();
        options.read(true).write(access != Access::Read);
        if access == Access::Exclusive && block_device {
            options.custom_flags(libc::O_EXCL);
        }
        let file = options.open(path).map_err(|source| {
            if source.raw_os_error() == Some(libc::EBUSY) {
                Error::InUse { device: device(), source }
            } else {
                Error::Open { device: device(), source }
            }
        })?;
        if !block_device {
            let metadata = file.metadata().map_err(cannot_open)?;
            return Ok(Self {
                path: device(),
                size_bytes: metadata.len(),
                logical_sector: 512,
                physical_sector: 512,
                read_only: metadata.permissions().readonly(),
                block_device,
                // What a file's direct I/O must be aligned to is the file system's affair.
                direct: false,
                edges: Mutex::new(()),
                file,
            });
        }
        let failed = |request| move |source| Error::Ioctl { device: path.to_owned(), request, source };
        Ok(Self {
            path: device(),
            size_bytes: ioctl::size_bytes(&file).map_err(failed("BLKGETSIZE64"))?,
            logical_sector: ioctl::logical_sector(&file).map_err(failed("BLKSSZGET"))?,
            physical_sector: ioctl::physical_sector(&file).map_err(failed("BLKPBSZGET"))?,
            read_only: ioctl::is_read_only(&file).map_err(failed("BLKROGET"))?,
            block_device,
            direct: fcntl(&file, FcntlArg::F_SETFL(OFlag::O_DIRECT)).is_ok(),
            edges: Mutex::new(()),
            file,
        })
    }

    /// Gives a regular file another logical sector size, so that tests can play a 4Kn disk. Block devices keep theirs.
    #[must_use]
    pub fn with_logical_sector(mut self, bytes: u32) -> Self {
        if !self.block_device {
            self.logical_sector = bytes;
            self.physical_sector = self.physical_sector.max(bytes);
        }
        self
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size when it was opened.
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// Smallest unit that the device addresses, in bytes.
    pub fn logical_sector(&self) -> u32 {
        self.logical_sector
    }

    /// Smallest unit that the device writes without reading first, in bytes.
    pub fn physical_sector(&self) -> u32 {
        self.physical_sector
    }

    /// Whether the device itself refuses writes, however it was opened.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    pub fn is_block_device(&self) -> bool {
        self.block_device
    }

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
            source,
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
            source,
        })
    }

    /// Makes a range read as zeros: `BLKZEROOUT` where the device has it, written zeros elsewhere.
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
            source,
        })
    }

    /// Tells the device that a range is no longer needed; what it reads as afterwards is the device's choice.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfRange`], [`Error::Discard`] (also where the device cannot).
    pub fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.check_range(offset, len)?;
        let mut done = 0;
        while done < len {
            let piece = RANGE.min(len - done);
            self.discard_range(offset + done, piece).map_err(|source| Error::Discard {
                device: self.path.clone(),
                offset: offset + done,
                length: piece,
                source,
            })?;
            done += piece;
        }
        Ok(())
    }

    /// Waits until everything written is on stable storage.
    ///
    /// # Errors
    ///
    /// [`Error::Flush`].
    pub fn flush(&self) -> Result<(), Error> {
        self.file.sync_all().map_err(|source| Error::Flush { device: self.path.clone(), source })
    }

    /// Has the kernel read the partition table again. Does nothing for files and for devices that have no
    /// partitions in the kernel's view.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] when a partition stays busy for two seconds, [`Error::Ioctl`].
    pub fn reread_partition_table(&self) -> Result<(), Error> {
        if !self.block_device {
            return Ok(());
        }
        let mut left = RESCANS;
        loop {
            let source = match ioctl::reread_partition_table(&self.file) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match source.raw_os_error() {
                Some(libc::EINVAL | libc::ENOTTY | libc::EOPNOTSUPP) => return Ok(()),
                Some(libc::EBUSY) if left == 0 => {
                    return Err(Error::InUse { device: self.path.clone(), source });
                }
                Some(libc::EBUSY | libc::EINTR) => {
                    left = left.saturating_sub(1);
                    thread::sleep(RESCAN_PAUSE);
                }
                _ => {
                    return Err(Error::Ioctl { device: self.path.clone(), request: "BLKRRPART", source });
                }
            }
        }
    }

    fn check_range(&self, offset: u64, length: u64) -> Result<(), Error> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size_bytes => Ok(()),
            _ => Err(Error::OutOfRange { device: self.path.clone(), offset, length, size: self.size_bytes }),
        }
    }

    /// Whether a request can go to the kernel as it is.
    fn passes(&self, offset: u64, buf: &[u8]) -> bool {
        let sector = self.sector();
        !self.direct
            || (offset.is_multiple_of(sector)
                && (buf.len() as u64).is_multiple_of(sector)
                && (buf.as_ptr() as u64).is_multiple_of(sector))
    }

    fn sector(&self) -> u64 {
        u64::from(self.logical_sector.max(1))
    }

    fn read_range(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.passes(offset, buf) {
            return self.file.read_exact_at(buf, offset);
        }
        let sector = self.sector();
        let mut bounce = AlignedBuf::new(bounce_len(buf.len(), sector));
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let start = at - at % sector;
            let skip = (at - start) as usize;
            let piece = (bounce.len() - skip).min(buf.len() - done);
            let whole = (skip + piece).next_multiple_of(sector as usize);
            self.file.read_exact_at(&mut bounce[..whole], start)?;
            buf[done..done + piece].copy_from_slice(&bounce[skip..skip + piece]);
            done += piece;
        }
        Ok(())
    }

    fn write_range(&self, offset: u64, buf: &[u8]) -> io::Result<()> {
        if self.passes(offset, buf) {
            return self.file.write_all_at(buf, offset);
        }
        let sector = self.sector();
        let mut bounce = AlignedBuf::new(bounce_len(buf.len(), sector));
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let start = at - at % sector;
            let skip = (at - start) as usize;
            let piece = (bounce.len() - skip).min(buf.len() - done);
            let whole = (skip + piece).next_multiple_of(sector as usize);
            let edge = skip != 0 || whole != skip + piece;
            // The lock guards no data, only the order on the device: a poisoned one is as good as any.
            let guard = edge.then(|| self.edges.lock().unwrap_or_else(PoisonError::into_inner));
            if skip != 0 {
                self.file.read_exact_at(&mut bounce[..sector as usize], start)?;
            }
            if whole != skip + piece && (skip == 0 || whole > sector as usize) {
                let last = whole - sector as usize;
                self.file.read_exact_at(&mut bounce[last..whole], start + last as u64)?;
            }
            bounce[skip..skip + piece].copy_from_slice(&buf[done..done + piece]);
            self.file.write_all_at(&bounce[..whole], start)?;
            drop(guard);
            done += piece;
        }
        Ok(())
    }

    fn zero_range(&self, offset: u64, len: u64) -> io::Result<()> {
        let end = offset + len;
        if !self.block_device {
            return self.write_zeros(offset, end);
        }
        let sector = self.sector();
        let (first, last) = (offset.next_multiple_of(sector), end - end % sector);
        if first >= last {
            return self.write_zeros(offset, end);
        }
        self.write_zeros(offset, first)?;
        let mut at = first;
        while at < last {
            let piece = RANGE.min(last - at);
            // Whatever the reason that the device refuses, plain writes settle the matter.
            if ioctl::zero_out(&self.file, at, piece).is_err() {
                self.write_zeros(at, at + piece)?;
            }
            at += piece;
        }
        self.write_zeros(last, end)
    }

    fn write_zeros(&self, offset: u64, end: u64) -> io::Result<()> {
        if offset >= end {
            return Ok(());
        }
        let zeros = AlignedBuf::new(PIECE.min((end - offset) as usize));
        let mut at = offset;
        while at < end {
            // To the next multiple of a piece, so that only the first and the last one can be unaligned.
            let piece = (PIECE as u64 - at % PIECE as u64).min(end - at).min(zeros.len() as u64);
            self.write_range(at, &zeros[..piece as usize])?;
            at += piece;
        }
        Ok(())
    }

    fn discard_range(&self, offset: u64, len: u64) -> io::Result<()> {
        if self.block_device {
            return ioctl::discard(&self.file, offset, len);
        }
        let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        let (Ok(start), Ok(length)) = (offset.try_into(), len.try_into()) else {
            return Err(Errno::EFBIG.into());
        };
        Ok(fallocate(&self.file, flags, start, length)?)
    }
}

/// A bounce buffer of whole sectors for a request that may begin and end within one.
fn bounce_len(len: usize, sector: u64) -> usize {
    let sector = sector as usize;
    (len + 2 * sector).min(PIECE.max(sector)).next_multiple_of(sector)
}
