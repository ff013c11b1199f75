use std::error::Error as StdError;
use std::fmt;
use std::io;

use crate::bmap::{CompareError, RangeError};
use crate::config_drive::ConfigDriveError;
use crate::digest::DigestAlgorithm;
use crate::partitioned::LayoutError;
use crate::qcow2::Refusal;
use crate::signature::SignatureError;
use crate::table::TableError;
use crate::target::TargetError;

/// What a failed write left on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLeft {
    /// Nothing was written.
    Untouched,
    /// Something was written. What firmware would start from is zero; where that could not be made sure, the error
    /// says so.
    NotBootable,
    /// The whole, verified image.
    Verified,
}

/// What went wrong. Each names its image, device, offset, and what was expected and found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    #[error("no image source was given")]
    NoSource,
    /// The last source failed too often in a row.
    #[error("{url}: {attempts} attempts in a row failed at byte {offset}")]
    SourceFailed { url: String, offset: u64, attempts: u32, source: Box<dyn StdError + Send + Sync> },
    /// The last source refused in a way that the same request will not change.
    #[error("{url} cannot be read from byte {offset} on")]
    SourceRefused { url: String, offset: u64, source: Box<dyn StdError + Send + Sync> },
    #[error("{url} changed while it was read (at byte {offset}): {what}")]
    SourceChanged { url: String, offset: u64, what: String },
    #[error("{url} is empty")]
    Empty { url: String },
    #[error(
        "{url} holds {format} content, which is not supported: only qcow2 and raw images, the latter also packed as gzip, xz or zstd"
    )]
    UnsupportedFormat { url: String, format: &'static str },
    #[error("{url} holds {format} content packed as {codec}: only raw images are read out of packed files")]
    UnsupportedInside { url: String, codec: &'static str, format: &'static str },
    #[error("{url}: the qcow2 image cannot be written")]
    Qcow2 { url: String, source: Refusal },
    #[error("{url}: the compressed cluster at byte {offset} of the file is damaged")]
    Qcow2Cluster { url: String, offset: u64, source: io::Error },
    #[error("{url} is declared as {declared} and holds {found} content")]
    FormatContradicts { url: String, declared: String, found: String },
    #[error("{url}: the {codec} stream is damaged or cut, after {decoded} decoded bytes")]
    Decode { url: String, codec: &'static str, decoded: u64, source: io::Error },
    #[error(
        "{url}: the image has {}, {device} has {disk}",
        if *.exact { format!("{image} bytes") } else { format!("at least {image} bytes, if it is not damaged") }
    )]
    TooLarge { url: String, image: u64, exact: bool, device: String, disk: u64 },
    #[error("{device} has {bytes} bytes, less than the {minimum} that any image needs")]
    DiskTooSmall { device: String, bytes: u64, minimum: u64 },
    #[error("{url}: the partition table cannot be used on {device}")]
    Table { url: String, device: String, source: TableError },
    #[error("{url}: the {algorithm} digest is {found}, expected {expected}")]
    Digest { url: String, algorithm: DigestAlgorithm, expected: String, found: String },
    #[error("{url}: nobody vouches for this image")]
    Signature { url: String, source: SignatureError },
    #[error(
        "{url}: neither a digest nor a signature nor a block map with digests says what the image must be"
    )]
    Unvouched { url: String },
    #[error("{url}: the image is not the one of its block map")]
    Range { url: String, source: RangeError },
    #[error("{url}: the image has {image} bytes, its block map is of one with {map}")]
    MapSize { url: String, image: u64, map: u64 },
    #[error("{url}: a block map goes with a raw image, this one is {format}")]
    MapFormat { url: String, format: &'static str },
    #[error("{device} cannot be compared with the image's block map")]
    Compare { device: String, source: CompareError },
    #[error("{device}: {doing} failed")]
    Target { device: String, doing: &'static str, source: TargetError },
    #[error("{device} reads back other bytes at offset {offset} than were written there")]
    ReadBack { device: String, offset: u64 },
    #[error("{url}: the packed unit that belongs at byte {offset} of the image is damaged")]
    Unit { url: String, offset: u64, source: io::Error },
    #[error("the partitions for the image cannot be made on {device}")]
    Layout { device: String, source: LayoutError },
    #[error("the config drive cannot be written to {device}")]
    ConfigDrive { device: String, source: ConfigDriveError },
    #[error("writing to {device} was cancelled")]
    Cancelled { device: String },
    /// A defect of this program.
    #[error("{0}")]
    Internal(&'static str),
}

impl Failure {
    /// Whether the same request may succeed when it is made again.
    fn retry(&self) -> bool {
        matches!(self, Self::SourceFailed { .. } | Self::SourceChanged { .. } | Self::Cancelled { .. })
    }
}

/// A write that failed, and what it left behind.
#[derive(Debug)]
pub struct ImagingError {
    failure: Box<Failure>,
    disk: DiskLeft,
    not_closed: Option<String>,
}

impl ImagingError {
    pub(crate) fn new(failure: Failure, disk: DiskLeft) -> Self {
        Self { failure: Box::new(failure), disk, not_closed: None }
    }

    /// Adds that the areas which firmware reads could not be made zero (again).
    pub(crate) fn not_closed(mut self, why: String) -> Self {
        self.not_closed = Some(why);
        self
    }

    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    pub fn disk(&self) -> DiskLeft {
        self.disk
    }

    /// Whether the same request may succeed when it is made again.
    pub fn retry(&self) -> bool {
        self.failure.retry()
    }

    /// Whether every area that firmware reads was zeroed after the failure. False only when the disk refused.
    pub fn closed(&self) -> bool {
        self.not_closed.is_none()
    }
}

impl fmt::Display for ImagingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.failure)?;
        match (self.disk, &self.not_closed) {
            (DiskLeft::Untouched, _) => f.write_str(" (nothing was written)"),
            (DiskLeft::NotBootable, None) => f.write_str(" (the disk is not bootable)"),
            (DiskLeft::NotBootable, Some(why)) => {
                write!(f, " (and its first and last MiB could not be zeroed afterwards: {why})")
            }
            (DiskLeft::Verified, _) => f.write_str(" (the disk holds the whole image)"),
        }
    }
}

impl StdError for ImagingError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source()
    }
}
