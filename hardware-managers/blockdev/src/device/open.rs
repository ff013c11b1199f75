use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use super::edges::Edges;
use super::ranges::Refusals;
use crate::buffer::ALIGNMENT;
use crate::error::Error;
use crate::ioctl;
use crate::stat::direct_alignment;

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
/// Reads and writes may begin and end anywhere, and several threads may use one device at the same time. It is
/// accessed with `O_DIRECT` where the kernel grants it; aligned requests from aligned memory
/// ([`AlignedBuf`](crate::AlignedBuf)) then go to the device without a copy. Two threads may write to parts of the
/// same sector; what two threads write to the same bytes comes in no particular order.
#[derive(Debug)]
pub struct Device {
    pub(crate) file: File,
    pub(super) path: PathBuf,
    size_bytes: u64,
    logical_sector: u32,
    physical_sector: u32,
    read_only: bool,
    pub(super) block_device: bool,
    /// What offsets, lengths and memory must be multiples of; 1 without direct I/O.
    pub(super) alignment: u64,
    pub(super) edges: Edges,
    pub(super) refusals: Refusals,
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
                alignment: file_alignment(&file, metadata.len()),
                edges: Edges::default(),
                refusals: Refusals::default(),
                file,
            });
        }
        let failed = |request| move |source| Error::Ioctl { device: path.to_owned(), request, source };
        let logical_sector = ioctl::logical_sector(&file).map_err(failed("BLKSSZGET"))?;
        Ok(Self {
            path: device(),
            size_bytes: ioctl::size_bytes(&file).map_err(failed("BLKGETSIZE64"))?,
            logical_sector,
            physical_sector: ioctl::physical_sector(&file).map_err(failed("BLKPBSZGET"))?,
            read_only: ioctl::is_read_only(&file).map_err(failed("BLKROGET"))?,
            block_device,
            alignment: if go_direct(&file) { u64::from(logical_sector.max(1)) } else { 1 },
            edges: Edges::default(),
            refusals: Refusals::default(),
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

    /// Whether reads and writes pass by the page cache.
    pub fn is_direct(&self) -> bool {
        self.alignment > 1
    }

    pub(super) fn check_range(&self, offset: u64, length: u64) -> Result<(), Error> {
        match offset.checked_add(length) {
            Some(end) if end <= self.size_bytes => Ok(()),
            _ => Err(Error::OutOfRange { device: self.path.clone(), offset, length, size: self.size_bytes }),
        }
    }
}

fn go_direct(file: &File) -> bool {
    fcntl(file, FcntlArg::F_SETFL(OFlag::O_DIRECT)).is_ok()
}

/// What direct I/O on a regular file must be aligned to, 1 where there is none.
fn file_alignment(file: &File, len: u64) -> u64 {
    let alignment = match direct_alignment(file) {
        // The file system knows of direct I/O and does none on this file (it is compressed, encrypted, journalled).
        Some(0) => return 1,
        Some(bytes) => bytes,
        // It does not say: a page serves wherever there is any.
        None => ALIGNMENT as u64,
    };
    // A file that ends within a block can only be written as a whole through the page cache: direct I/O would make
    // it longer. What needs more than a page of alignment does not fit `AlignedBuf`.
    if !len.is_multiple_of(alignment) || !(ALIGNMENT as u64).is_multiple_of(alignment) || !go_direct(file) {
        return 1;
    }
    alignment
}
