use tacit_blockdev::Drive;

use super::facts::{Capacity, DriveFacts, DriveKind};

/// Asks a drive for everything that it tells of itself. Changes nothing on it; a question that it does not answer
/// leaves a gap and a line in [`DriveFacts::unanswered`].
pub(crate) fn identify(drive: &dyn Drive, kind: DriveKind) -> DriveFacts {
    DriveFacts {
        kind,
        capacity: Some(Capacity {
            bytes: drive.size_bytes(),
            logical_sector: drive.logical_sector(),
            physical_sector: drive.logical_sector(),
        }),
        ..DriveFacts::default()
    }
}
