use tacit_blockdev::Drive;

use super::capacity::read_capacity;
use super::health::health;
use super::inquiry::{
    BlockLimits, BlockProvisioning, inquiry, rotation, unit_serial, vital_page, vital_pages,
};
use super::reservations::reservations;
use super::sanitize::{request_sense, service_action};
use super::supported::{Support, supported};
use super::wwn::world_wide_name;
use crate::drives::error::DriveError;
use crate::drives::facts::{DriveFacts, EraseCapability, EraseMethod, Provisioning};
use crate::drives::sanitize::{Overwrite, Sanitize, percent};

const SERIAL: u8 = 0x80;
const IDENTIFICATION: u8 = 0x83;
const ATA_INFORMATION: u8 = 0x89;
const LIMITS: u8 = 0xb0;
const CHARACTERISTICS: u8 = 0xb1;
const PROVISIONING: u8 = 0xb2;

/// Whether an ATA drive is behind the disk: the translation says so (SAT-5, 8.3 and 10.3).
///
/// # Errors
///
/// [`DriveError`] of INQUIRY.
pub(crate) fn is_ata(drive: &dyn Drive) -> Result<bool, DriveError> {
    if inquiry(drive)?.vendor.as_deref() == Some("ATA") {
        return Ok(true);
    }
    // USB bridges have names of their own. Drives without such pages are none of them.
    Ok(vital_pages(drive).is_ok_and(|pages| pages.contains(&ATA_INFORMATION)))
}

/// Asks everything that a SCSI disk can be asked.
pub(crate) fn fill(drive: &dyn Drive, facts: &mut DriveFacts) {
    identity(drive, facts);
    if let Some((capacity, zeroes)) = facts.note("capacity", read_capacity(drive)) {
        facts.capacity = Some(capacity);
        facts.provisioning.reads_zeroes = zeroes;
    }
    if let Some(reservations) = facts.note_guard("reservations", reservations(drive)) {
        facts.reservations = reservations;
    }
    if let Some(health) = facts.note("health", health(drive)) {
        facts.health = health;
    }
    let state = facts.note("state", request_sense(drive));
    facts.sanitize_unknown = state.is_none();
    if let Some(sense) = state {
        facts.sanitizing = sense.is_sanitizing().then(|| sense.progress.unwrap_or(0).into());
        facts.sanitize_failed = sense.is_sanitize_failed();
    }
    erase(drive, facts);
}

fn identity(drive: &dyn Drive, facts: &mut DriveFacts) {
    if let Some(inquiry) = facts.note("identity", inquiry(drive)) {
        (facts.vendor, facts.model, facts.firmware) = (inquiry.vendor, inquiry.product, inquiry.revision);
    }
    let pages = facts.note("vital product data", vital_pages(drive)).unwrap_or_default();
    let mut page = |number: u8, what| {
        pages.contains(&number).then(|| facts.note(what, vital_page(drive, number))).flatten()
    };
    let serial = page(SERIAL, "serial");
    let names = page(IDENTIFICATION, "world wide name");
    let characteristics = page(CHARACTERISTICS, "rotation");
    facts.serial = serial.and_then(|page| unit_serial(&page));
    facts.wwn = names.and_then(|page| world_wide_name(&page));
    if let Some((rotates, rpm)) = characteristics.and_then(|page| rotation(&page)) {
        (facts.rotational, facts.rotation_rpm) = (Some(rotates), rpm);
    }
}

fn erase(drive: &dyn Drive, facts: &mut DriveFacts) {
    let busy = facts.sanitizing.map(|progress| {
        let share = percent(progress);
        format!("a sanitize operation is under way ({share}) and cannot be stopped")
    });
    let operations = [
        (EraseMethod::ScsiSanitizeCrypto, Sanitize::Crypto),
        (EraseMethod::ScsiSanitizeBlock, Sanitize::Block),
        (EraseMethod::ScsiSanitizeOverwrite, Sanitize::Overwrite(Overwrite::default())),
    ];
    for (method, operation) in operations {
        match facts.note("sanitize", supported(drive, 0x48, Some(service_action(operation)))) {
            Some(Support::Yes(estimate)) => facts.erase.push(EraseCapability {
                method,
                estimated_seconds: estimate.map(|time| time.as_secs()),
                unusable: busy.clone(),
            }),
            Some(Support::No | Support::Unknown) | None => {}
        }
    }
    let failed = "the last sanitize operation failed; until another one succeeds the drive gives no access";
    let inaccessible = busy.or_else(|| facts.sanitize_failed.then(|| failed.to_owned()));
    let mut has_write_same = false;
    if let Some((limits, has)) = facts.note("provisioning", provisioning(drive)) {
        has_write_same = has.write_same;
        facts.provisioning = Provisioning {
            unmap: has.write_same || has.unmap && limits.unmap_blocks > 0,
            reads_zeroes: has.reads_zeroes || facts.provisioning.reads_zeroes,
        };
        if facts.provisioning.unmap {
            let method = EraseMethod::Unmap { zeroes_guaranteed: has.zeroes_guaranteed() };
            facts
                .erase
                .push(EraseCapability { unusable: inaccessible.clone(), ..EraseCapability::usable(method) });
        }
    }
    // The page tells of WRITE SAME (16), and not every drive has a report of its commands.
    has_write_same |= matches!(facts.note("WRITE SAME", supported(drive, 0x93, None)), Some(Support::Yes(_)));
    if has_write_same {
        let usable = EraseCapability::usable(EraseMethod::ScsiWriteSame);
        facts.erase.push(EraseCapability { unusable: inaccessible, ..usable });
    }
}

/// Pages B0h and B2h; nothing where the drive does not have them.
///
/// # Errors
///
/// [`DriveError`].
pub(super) fn provisioning(drive: &dyn Drive) -> Result<(BlockLimits, BlockProvisioning), DriveError> {
    let pages = vital_pages(drive)?;
    let page = |number| if pages.contains(&number) { vital_page(drive, number) } else { Ok(Vec::new()) };
    Ok((BlockLimits::parse(&page(LIMITS)?), BlockProvisioning::parse(&page(PROVISIONING)?)))
}
