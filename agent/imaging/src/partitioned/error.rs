use std::io;

use crate::partitioned::PartitionRole;
use crate::table::TableError;
use crate::target::TargetError;

/// Why a partition image cannot be installed as asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayoutError {
    #[error("no size is given for the root partition")]
    NoRoot,
    #[error("the partitions end at byte {needed}, the disk has room for them up to byte {room}")]
    DoesNotFit { needed: u64, room: u64 },
    #[error("the sizes of the partitions are beyond all bounds")]
    Overflow,
    #[error("an MBR has room for 4 partitions, {count} are asked for")]
    TooManyForMbr { count: usize },
    #[error("the {role} partition begins or ends beyond the 2^32 blocks that an MBR can describe")]
    BeyondMbr { role: PartitionRole },
    #[error("an ephemeral partition cannot be formatted as {format:?}, only as ext4 or vfat")]
    UnknownFormat { format: String },
    #[error("{mib} MiB is no size for an ephemeral partition with {format}")]
    EphemeralSize { format: &'static str, mib: u64 },
    #[error("the ephemeral partition shall be kept, but the disk's present partition table cannot be read")]
    NothingToPreserve { source: TableError },
    #[error(
        "the ephemeral partition shall be kept, but none of {bytes} bytes begins at byte {start} of the disk"
    )]
    EphemeralMoved { start: u64, bytes: u64 },
    #[error("the image has {image} bytes, the root partition {root}")]
    ImageTooLarge { image: u64, root: u64 },
    #[error("no random number for a GUID")]
    Random,
    #[error("the new partition table is impossible on this disk")]
    Table { source: TableError },
    #[error("the disk cannot be read or written")]
    Disk { source: TargetError },
    #[error("the file system of the {role} partition cannot be made")]
    FileSystem { role: PartitionRole, source: io::Error },
    #[error("{path:?} of the image cannot be put into the EFI system partition")]
    EfiFile { path: String, source: io::Error },
    /// A defect of this program.
    #[error("{0}")]
    Internal(&'static str),
}

impl From<TargetError> for LayoutError {
    fn from(source: TargetError) -> Self {
        Self::Disk { source }
    }
}
