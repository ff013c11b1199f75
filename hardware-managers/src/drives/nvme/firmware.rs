//! Firmware slots, download and commit (Base 2.1, 3.11, 5.1.8 and 5.1.9).

use std::time::Duration;

use tacit_blockdev::{CommandError, Drive, NvmeCommand, Transfer};

use super::admin::{QUICK, log_page};
use super::controller::Controller;
use crate::drives::DriveError;
use crate::drives::fields::text;

const FIRMWARE_SLOTS: u8 = 0x03;
const FIRMWARE_COMMIT: u8 = 0x10;
const FIRMWARE_DOWNLOAD: u8 = 0x11;

/// Commit actions: into the slot, to be active from the next reset on, or at once.
const AT_RESET: u32 = 1;
const AT_ONCE: u32 = 3;
/// Writing an image to its slot takes drives minutes.
const COMMIT: Duration = Duration::from_secs(300);
/// Bytes that go with one command where the drive allows it.
const PIECE: usize = 32 << 10;

/// Command specific status codes of a commit.
const COMMAND_SPECIFIC: u8 = 1;
const NEEDS_RESET: [u8; 3] = [0x0b, 0x10, 0x11];
const TAKES_TOO_LONG: u8 = 0x12;

/// Firmware Slot Information (Base 2.1, 5.1.12.1.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FirmwareSlots {
    /// The slot whose firmware runs.
    pub(crate) active: u8,
    /// The slot whose firmware runs from the next reset on.
    pub(crate) next: Option<u8>,
    revisions: [String; 7],
}

impl FirmwareSlots {
    /// # Errors
    ///
    /// [`DriveError::Command`].
    pub(crate) fn read(drive: &dyn Drive) -> Result<Self, DriveError> {
        let data = log_page(drive, FIRMWARE_SLOTS, false)
            .map_err(|source| DriveError::Command { command: "reading the firmware slots", source })?;
        Ok(Self {
            active: data[0] & 7,
            next: Some(data[0] >> 4 & 7).filter(|slot| *slot > 0),
            revisions: std::array::from_fn(|slot| {
                text(&data[8 + 8 * slot..16 + 8 * slot]).unwrap_or_default()
            }),
        })
    }

    /// Revision in a slot, 1 to 7; empty where there is none.
    pub(crate) fn revision(&self, slot: u8) -> &str {
        usize::from(slot).checked_sub(1).and_then(|at| self.revisions.get(at)).map_or("", String::as_str)
    }

    /// The revision that runs from the next reset on, if another slot was chosen for it.
    pub(crate) fn pending(&self) -> Option<&str> {
        self.next.filter(|slot| *slot != self.active).map(|slot| self.revision(slot))
    }

    /// Where an image should go: a slot that is empty, else one that does not run, else the one that runs.
    ///
    /// # Errors
    ///
    /// [`DriveError::Unusable`] when the wanted slot does not exist or is read-only, or no slot can be written to.
    pub(crate) fn choose(&self, controller: &Controller, wanted: Option<u8>) -> Result<u8, DriveError> {
        let first = if controller.first_slot_is_read_only() { 2 } else { 1 };
        let writable = first..=controller.firmware_slots();
        if let Some(slot) = wanted {
            return if writable.contains(&slot) { Ok(slot) } else { Err(no_slot(slot)) };
        }
        let cost = |slot: &u8| (*slot == self.active, !self.revision(*slot).is_empty());
        writable.min_by_key(cost).ok_or_else(|| no_slot(1))
    }
}

fn no_slot(slot: u8) -> DriveError {
    DriveError::Unusable { reason: format!("slot {slot} for firmware is read-only or does not exist") }
}

/// When committed firmware runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    Now,
    /// From the next reset of the controller on; a power cycle is one.
    AtReset,
}

/// Transfers an image to the drive's buffer. Nothing of it is kept before [`commit`]. `progress` hears the bytes that
/// are done.
///
/// # Errors
///
/// [`DriveError::Unusable`] before anything is sent, [`DriveError::Command`].
pub(crate) fn download(
    drive: &dyn Drive,
    controller: &Controller,
    image: &[u8],
    progress: &dyn Fn(u64),
) -> Result<(), DriveError> {
    if image.is_empty() || !image.len().is_multiple_of(4) || u32::try_from(image.len()).is_err() {
        let reason =
            format!("a firmware image of {} bytes, which is no multiple of 4 or too much", image.len());
        return Err(DriveError::Unusable { reason });
    }
    let granularity = controller.firmware_piece();
    let most = controller.largest_transfer.map_or(PIECE, |most| most.min(PIECE));
    let piece = (most - most % granularity).max(granularity);
    for (number, part) in image.chunks(piece).enumerate() {
        let offset = number * piece;
        let command = NvmeCommand {
            opcode: FIRMWARE_DOWNLOAD,
            namespace: 0,
            // Both in dwords, the length less one; the image has fewer than 2^32 bytes.
            dwords: [part.len() as u32 / 4 - 1, (offset / 4) as u32, 0, 0, 0, 0],
            timeout: QUICK,
        };
        drive
            .nvme(&command, Transfer::ToDevice(part))
            .map_err(|source| DriveError::Command { command: "the firmware download", source })?;
        progress((offset + part.len()) as u64);
    }
    Ok(())
}

/// Puts what was downloaded into a slot and has it run, without a reset where the drive can do that.
///
/// # Errors
///
/// [`DriveError::Command`]; the drive checks the image, and what it thinks of it is in the status.
pub(crate) fn commit(drive: &dyn Drive, controller: &Controller, slot: u8) -> Result<Activation, DriveError> {
    if controller.activates_without_reset() {
        match send_commit(drive, controller, slot, AT_ONCE) {
            Ok(()) => return Ok(Activation::Now),
            Err(CommandError::Nvme { code_type: COMMAND_SPECIFIC, code, .. })
                if NEEDS_RESET.contains(&code) =>
            {
                return Ok(Activation::AtReset);
            }
            // Activating would stop the drive for longer than it promised: only with a reset, then.
            Err(CommandError::Nvme { code_type: COMMAND_SPECIFIC, code: TAKES_TOO_LONG, .. }) => {}
            Err(source) => return Err(DriveError::Command { command: "the firmware commit", source }),
        }
    }
    match send_commit(drive, controller, slot, AT_RESET) {
        Ok(()) => Ok(Activation::AtReset),
        Err(CommandError::Nvme { code_type: COMMAND_SPECIFIC, code, .. }) if NEEDS_RESET.contains(&code) => {
            Ok(Activation::AtReset)
        }
        Err(source) => Err(DriveError::Command { command: "the firmware commit", source }),
    }
}

fn send_commit(
    drive: &dyn Drive,
    controller: &Controller,
    slot: u8,
    action: u32,
) -> Result<(), CommandError> {
    let command = NvmeCommand {
        opcode: FIRMWARE_COMMIT,
        namespace: 0,
        dwords: [u32::from(slot & 7) | action << 3, 0, 0, 0, 0, 0],
        timeout: COMMIT + controller.firmware_activation(),
    };
    drive.nvme(&command, Transfer::None).map(drop)
}
