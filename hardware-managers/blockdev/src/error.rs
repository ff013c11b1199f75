use std::io;
use std::path::PathBuf;

/// What went wrong, on which device and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("cannot open {}", device.display())]
    Open { device: PathBuf, source: io::Error },
    /// Exclusive access was asked for and something else holds the device: a mount, device-mapper, md, swap.
    #[error("{} is in use (mounted, or held by another device)", device.display())]
    InUse { device: PathBuf, source: io::Error },
    #[error("{} is neither a block device nor a regular file", device.display())]
    NotADevice { device: PathBuf },
    #[error("cannot read {length} bytes at offset {offset} of {}", device.display())]
    Read { device: PathBuf, offset: u64, length: u64, source: io::Error },
    #[error("cannot write {length} bytes at offset {offset} of {}", device.display())]
    Write { device: PathBuf, offset: u64, length: u64, source: io::Error },
    #[error("cannot zero {length} bytes at offset {offset} of {}", device.display())]
    Zero { device: PathBuf, offset: u64, length: u64, source: io::Error },
    #[error("cannot discard {length} bytes at offset {offset} of {}", device.display())]
    Discard { device: PathBuf, offset: u64, length: u64, source: io::Error },
    #[error(
        "{length} bytes at offset {offset} do not lie within the {size} bytes of {}",
        device.display()
    )]
    OutOfRange { device: PathBuf, offset: u64, length: u64, size: u64 },
    #[error("cannot flush {}", device.display())]
    Flush { device: PathBuf, source: io::Error },
    /// An ioctl that has no offset failed.
    #[error("{request} failed on {}", device.display())]
    Ioctl { device: PathBuf, request: &'static str, source: io::Error },
}

impl Error {
    /// The kernel's error, where there is one.
    pub fn io_error(&self) -> Option<&io::Error> {
        match self {
            Self::Open { source, .. }
            | Self::InUse { source, .. }
            | Self::Read { source, .. }
            | Self::Write { source, .. }
            | Self::Zero { source, .. }
            | Self::Discard { source, .. }
            | Self::Flush { source, .. }
            | Self::Ioctl { source, .. } => Some(source),
            Self::NotADevice { .. } | Self::OutOfRange { .. } => None,
        }
    }
}
