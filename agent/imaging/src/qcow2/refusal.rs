use std::fmt;
use std::io;

/// What lies somewhere in a qcow2 file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Header,
    L1,
    L2,
    /// A plain cluster.
    Data,
    /// A compressed cluster.
    Packed,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::L1 => "L1 table",
            Self::L2 => "L2 table",
            Self::Data => "data cluster",
            Self::Packed => "compressed cluster",
        })
    }
}

/// Why a qcow2 image is not written. Offsets are bytes of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    #[error("it does not begin with a qcow2 header")]
    NotQcow2,
    #[error("the file ends within the header")]
    Short,
    #[error("qcow2 version {0} is not known, only 2 and 3 are")]
    Version(u32),
    #[error("it needs a backing file")]
    BackingFile,
    #[error("its data lie in an external file")]
    ExternalData,
    #[error("it is encrypted (method {0})")]
    Encrypted(u32),
    #[error("it is marked as corrupt")]
    Corrupt,
    #[error("it has extended L2 entries (subclusters)")]
    ExtendedL2,
    #[error("it has incompatible features that are not known (bits {0:#x})")]
    Incompatible(u64),
    #[error("clusters of 2^{0} bytes are not possible, only of 2^9 to 2^21")]
    ClusterBits(u32),
    #[error("a header of {0} bytes is not possible")]
    HeaderLength(u32),
    #[error("header extension {kind:#x} does not end within the first {limit} bytes")]
    Extension { kind: u32, limit: u64 },
    #[error("compression type {0} is not known, or contradicts the header's feature bits")]
    Compression(u8),
    #[error("a virtual disk of {0} bytes is not possible")]
    Size(u64),
    #[error("the virtual disk has {size} bytes, the disk {disk}")]
    TooLarge { size: u64, disk: u64 },
    #[error("an L1 table of {entries} entries is too small, the virtual disk needs {needed}")]
    L1Small { entries: u32, needed: u64 },
    #[error("an L1 table of {entries} entries is too large")]
    L1Large { entries: u32 },
    #[error("{part} at {offset:#x} is not aligned to clusters")]
    Unaligned { part: Part, offset: u64 },
    #[error("{part} at {offset:#x} ends behind the file's end at {file:#x}")]
    Outside { part: Part, offset: u64, file: u64 },
    #[error("{part} at {offset:#x} begins before the end of {before}, {end:#x}")]
    Overlap { part: Part, offset: u64, before: Part, end: u64 },
    #[error("table entry {entry:#x} has reserved bits set")]
    Reserved { entry: u64 },
    #[error("a version 2 image has a zero cluster")]
    ZeroInVersion2,
    #[error("compressed cluster at {offset:#x} is longer than a cluster")]
    PackedLong { offset: u64 },
    #[error("the map of its clusters needs more than {limit} bytes of memory")]
    MapLarge { limit: usize },
}

/// Why a survey gave no image.
#[derive(Debug)]
pub(crate) enum SurveyError<E> {
    /// Reading failed.
    Read(E),
    Refused(Refusal),
}

impl<E> From<Refusal> for SurveyError<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Why the first bytes of the disk could not be made.
#[derive(Debug)]
pub(crate) enum HeadError<E> {
    /// Reading failed.
    Read(E),
    /// The compressed cluster at an offset of the file is damaged.
    Unpack { offset: u64, source: io::Error },
}
