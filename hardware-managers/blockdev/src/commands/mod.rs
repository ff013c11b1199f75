//! Commands of a drive's own protocol, and the trait behind which tests play drives that misbehave.

mod drive;
mod error;
mod nvme;
mod opal;
mod request;
mod scsi;

pub use drive::Drive;
pub use error::CommandError;
pub use request::{NvmeCommand, ScsiCommand, ScsiReply, Transfer};
