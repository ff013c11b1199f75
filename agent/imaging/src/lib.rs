//! Writing an image onto a disk so that the disk cannot boot before every byte was verified.
//!
//! Owns the way of an image from its [`Source`] through digest and decoder onto a [`Target`], the partition tables on
//! that target, and the config drive. Nothing is staged: memory stays the same whatever the image's size.
//! What decides whether firmware starts anything (first MiB, last MiB, the image's backup GPT) is zero on the disk
//! from before the first image byte until the digest over the bytes as served has matched.
//!
//! Refuses: to choose a disk, to know how a URL is reached, to mount or run anything of an image, to write formats
//! that it does not know, and to write an image of which it can know beforehand that it does not fit.

mod bmap;
mod codec;
mod config_drive;
mod digest;
mod error;
mod extent;
mod fetch;
mod frames;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gpt;
mod inspect;
mod mbr;
mod partition;
mod partitioned;
mod pipeline;
mod place;
mod pool;
mod prepare;
mod progress;
mod qcow2;
mod readback;
mod request;
mod reveal;
mod sieve;
mod signature;
mod sniff;
mod source;
mod survey;
mod table;
mod tail;
mod target;
mod transform;
mod unpack;
mod veil;
mod vouch;
mod write;
mod writers;

pub use bmap::{
    Bmap, BmapError, BmapOptions, BmapVersion, Changed, CompareError, MakeError, MappedRange, RangeError,
    Sha256, compare, make_bmap,
};
pub use config_drive::{
    ConfigDriveError, MAX_CONFIG_DRIVE_BYTES, decode_config_drive, decode_served_config_drive,
    fit_config_drive, is_mountable,
};
pub use digest::{DigestAlgorithm, DigestError, ExpectedDigest, Md5};
pub use error::{DiskLeft, Failure, ImagingError};
pub use inspect::{DiskSize, ImageInfo, InspectError, Inspected, Qcow2Info, TableInfo, inspect};
pub use partition::{Partition, TableKind};
pub use partitioned::{
    Firmware, LayoutError, MadePartition, PartitionRequest, PartitionRole, PartitionsMade,
};
pub use progress::{Observer, Progress};
pub use qcow2::{Part as Qcow2Part, Refusal as Qcow2Refusal};
pub use request::{Verify, WriteMode, WriteRequest, Written};
pub use signature::{
    MAX_SIGNATURE_BYTES, Signature, SignatureError, SignatureHasher, TrustedComment, check_signature_keys,
};
pub use source::{FileSource, Opened, RetryPolicy, Source, SourceError};
pub use table::TableError;
pub use target::{Target, TargetError};
pub use write::write_image;
