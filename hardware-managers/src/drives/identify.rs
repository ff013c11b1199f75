use tacit_blockdev::{CommandError, Drive};

use super::error::DriveError;
use super::facts::{Capacity, DriveFacts, DriveKind, EraseCapability, EraseMethod, Reservations};
use super::{ata, nvme, opal, scsi};

/// Asks a drive for everything that it tells of itself. Changes nothing on it; a question that it does not answer
/// leaves a gap and a line in [`DriveFacts::unanswered`].
pub(crate) fn identify(drive: &dyn Drive, kind: DriveKind) -> DriveFacts {
    let mut facts = DriveFacts {
        kind,
        capacity: Some(Capacity {
            bytes: drive.size_bytes(),
            logical_sector: drive.logical_sector(),
            physical_sector: drive.logical_sector(),
        }),
        ..DriveFacts::default()
    };
    match kind {
        DriveKind::Nvme => nvme::fill(drive, &mut facts),
        DriveKind::Ata => ata::fill(drive, &mut facts),
        DriveKind::Scsi => match scsi::is_ata(drive) {
            Ok(true) => ata::fill(drive, &mut facts),
            Ok(false) => scsi::fill(drive, &mut facts),
            Err(error) => {
                if matches!(error, DriveError::Command { source: CommandError::NoPassThrough, .. }) {
                    // What takes no commands at all has none to reserve it with.
                    facts.reservations = Reservations::None;
                }
                facts.sanitize_unknown = true;
                facts.note_guard::<()>("identity", Err(error));
            }
        },
        DriveKind::Plain => {}
    }
    // An adapter or a bridge that reaches no further, or a disk that has grown since the kernel looked.
    let unseen = facts.capacity.map_or(0, |told| told.bytes.saturating_sub(drive.size_bytes()));
    if unseen > 0 {
        facts.hidden_bytes = Some(facts.hidden_bytes.unwrap_or(0).saturating_add(unseen));
    }
    // ATA drives say in their description whether there is anything to discover.
    if matches!(facts.kind, DriveKind::Nvme | DriveKind::Scsi) {
        facts.tcg = facts.note("TCG discovery", opal::discover(drive, facts.kind)).flatten();
    }
    if let Some(state) = facts.tcg.filter(|state| state.opal || state.pyrite) {
        facts.erase.push(EraseCapability {
            unusable: opal::obstacle(&state).map(str::to_owned),
            ..EraseCapability::usable(EraseMethod::OpalPsid)
        });
    }
    facts
}
