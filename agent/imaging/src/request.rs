use crate::bmap::Bmap;
use crate::digest::ExpectedDigest;
use crate::partition::{Partition, TableKind};
use crate::partitioned::{PartitionRequest, PartitionsMade};
use crate::signature::Signature;
use crate::source::{RetryPolicy, Source};

/// An image and how it shall get onto a disk.
///
/// At least one of `digests`, `signature` and `bmap` is needed; whatever is given must match.
pub struct WriteRequest {
    /// Places with the same content, tried in order.
    pub sources: Vec<Box<dyn Source>>,
    /// Of the bytes as served.
    pub digests: Vec<ExpectedDigest>,
    /// Over the bytes as served.
    pub signature: Option<Signature>,
    /// Which bytes of the image are data, and the sha256 of each range of them. It must have been pinned by a digest of
    /// its own. Where it is all that vouches for a raw image, only these bytes are fetched.
    pub bmap: Option<Bmap>,
    /// What the image is said to be: nothing, `unknown`, `raw`, `gpt` (a raw disk image) or `qcow2`; something else than
    /// the content shows is refused.
    pub disk_format: Option<String>,
    /// The ISO image, see [`crate::decode_config_drive`].
    pub config_drive: Option<Vec<u8>>,
    /// Makes the config drive's files a FAT file system; done anyway where the disk's sectors need it.
    pub config_drive_rebuild: bool,
    /// For an image of one file system: the partitions that it gets around it.
    pub layout: Option<PartitionRequest>,
    pub mode: WriteMode,
    pub verify: Verify,
    pub retry: RetryPolicy,
}

impl WriteRequest {
    /// A request with nothing but sources: at least a digest has to be added.
    pub fn new(sources: Vec<Box<dyn Source>>) -> Self {
        Self {
            sources,
            digests: Vec::new(),
            signature: None,
            bmap: None,
            disk_format: None,
            config_drive: None,
            config_drive_rebuild: false,
            layout: None,
            mode: WriteMode::default(),
            verify: Verify::default(),
            retry: RetryPolicy::default(),
        }
    }
}

/// Which parts of the image are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteMode {
    #[default]
    All,
    /// The disk is read first, and only what differs is written.
    Changed,
}

/// What is read back before the write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// What was held back until the image was verified: all that firmware and boot loaders look at first.
    #[default]
    Revealed,
    /// Everything that was written, before anything is revealed.
    Full,
}

/// A verified image on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes as served.
    pub source_bytes: u64,
    /// Bytes of the disk image.
    pub target_bytes: u64,
    /// In the order of the request: each digest in lower-case hexadecimal, then the signature's trusted comment.
    pub vouched: Vec<String>,
    /// Whether the disk held all of it already, so that nothing was written.
    pub unchanged: bool,
    /// `NT` disk signature of the MBR; usually zero beside a GPT.
    pub disk_identifier: u32,
    pub table: TableKind,
    /// As they are on the disk now, the config drive's included.
    pub partitions: Vec<Partition>,
    pub config_drive: Option<Partition>,
    /// What was made around a partition image.
    pub made: Option<PartitionsMade>,
    /// Why the kernel of the ramdisk still sees the old partitions, if it does. The disk itself is right.
    pub rescan_failed: Option<String>,
}
