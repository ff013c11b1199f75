//! Failures of imaging in IPA's classes.

use tacit_imaging::{DiskLeft, Failure, ImagingError};
use tacit_protocol::error::DiskState;

use crate::jobs::CommandError;

pub(super) fn from_imaging(error: &ImagingError) -> CommandError {
    let details = CommandError::chain(error);
    let failure = match error.failure() {
        Failure::Cancelled { .. } => CommandError::cancelled(details),
        Failure::SourceFailed { .. }
        | Failure::SourceRefused { .. }
        | Failure::SourceChanged { .. }
        | Failure::NoSource => CommandError::new("ImageDownloadError", details),
        Failure::Digest { .. } | Failure::Signature { .. } | Failure::Range { .. } => {
            CommandError::new("ImageChecksumError", details)
        }
        Failure::Empty { .. }
        | Failure::UnsupportedFormat { .. }
        | Failure::UnsupportedInside { .. }
        | Failure::Unvouched { .. }
        | Failure::MapSize { .. }
        | Failure::MapFormat { .. }
        | Failure::FormatContradicts { .. }
        | Failure::Qcow2 { .. }
        | Failure::Qcow2Cluster { .. }
        | Failure::Unit { .. }
        | Failure::Decode { .. }
        | Failure::TooLarge { .. }
        | Failure::Table { .. } => CommandError::new("InvalidImage", details),
        Failure::DiskTooSmall { .. }
        | Failure::Target { .. }
        | Failure::ReadBack { .. }
        | Failure::Layout { .. }
        | Failure::Compare { .. }
        | Failure::ConfigDrive { .. } => CommandError::new("ImageWriteError", details),
        _ => CommandError::execution(details),
    };
    failure.with_retry(error.retry()).with_disk(match error.disk() {
        DiskLeft::Untouched => DiskState::Untouched,
        DiskLeft::NotBootable => DiskState::NotBootable,
        DiskLeft::Verified => DiskState::Verified,
    })
}
