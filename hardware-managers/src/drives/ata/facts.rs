use tacit_blockdev::Drive;

use super::identify::{configured_sectors, identify, native_sectors};
use super::sanitize::{FROZEN, Status, status};
use super::security::unusable;
use super::smart::health;
use super::words::{EraseTime, Words};
use crate::drives::facts::{
    Capacity, DriveFacts, DriveKind, EraseCapability, EraseMethod, Provisioning, Reservations,
};
use crate::drives::opal;
use crate::drives::sanitize::percent;

/// Asks everything that an ATA drive can be asked.
pub(crate) fn fill(drive: &dyn Drive, facts: &mut DriveFacts) {
    facts.kind = DriveKind::Ata;
    // ATA has none.
    facts.reservations = Reservations::None;
    facts.sanitize_unknown = true;
    let Some(words) = facts.note_guard("identity", identify(drive)) else { return };
    facts.serial = words.serial();
    facts.model = words.model();
    facts.firmware = words.firmware();
    facts.wwn = words.world_wide_name();
    if let Some((rotates, rpm)) = words.rotation() {
        (facts.rotational, facts.rotation_rpm) = (Some(rotates), rpm);
    }
    if let Some(capacity) = words.capacity() {
        facts.capacity = Some(capacity);
        hidden(drive, &words, capacity, facts);
    }
    if words.smart_enabled()
        && let Some(health) = facts.note("health", health(drive))
    {
        facts.health = health;
    }
    if words.trusted() {
        facts.tcg = facts.note("TCG discovery", opal::discover(drive, DriveKind::Ata)).flatten();
    }
    let (unmap, reads_zeroes) = words.trim();
    facts.provisioning = Provisioning { unmap, reads_zeroes };
    facts.security = Some(words.security());
    erase(drive, &words, facts);
}

/// What lies behind the last address, twice: limits may be set upon limits.
fn hidden(drive: &dyn Drive, words: &Words, capacity: Capacity, facts: &mut DriveFacts) {
    let bytes = |sectors: u64| sectors.checked_mul(capacity.logical_sector.into());
    let beyond = |bytes: Option<u64>, known| bytes?.checked_sub(known).filter(|hidden| *hidden > 0);
    let by = words.hides_by();
    let native = by.and_then(|by| facts.note("native size", native_sectors(drive, by)));
    facts.hidden_bytes = beyond(native.and_then(bytes), capacity.bytes);
    let reachable = capacity.bytes.saturating_add(facts.hidden_bytes.unwrap_or(0));
    let overlays = words.overlays();
    let configured = if overlays { facts.note("configured size", configured_sectors(drive)) } else { None };
    facts.overlaid_bytes = beyond(configured.and_then(bytes), reachable);
    facts.may_hide =
        by.is_some() && native.is_none() || overlays && configured.is_none() || words.hides_untold();
}

fn erase(drive: &dyn Drive, words: &Words, facts: &mut DriveFacts) {
    let (crypto, block, overwrite) = words.sanitize();
    let asked = crypto || block || overwrite;
    let told = if asked { facts.note("state of sanitize", status(drive)) } else { Some(Status::default()) };
    facts.sanitize_unknown = told.is_none();
    let status = told.unwrap_or_default();
    (facts.sanitizing, facts.sanitize_failed) = (status.progress, status.failed);
    let busy = status.progress.map(|progress| {
        format!("a sanitize operation is under way ({}) and cannot be stopped", percent(progress))
    });
    let locked = facts
        .security
        .filter(|state| state.locked && state.frozen)
        .map(|_| "the drive is locked by a password and frozen until the next power cycle".to_owned());
    let sanitize = if told.is_none() {
        Some("the drive cannot be asked for its progress, so nothing could be proven".to_owned())
    } else if status.frozen {
        Some(FROZEN.to_owned())
    } else {
        locked.clone()
    };
    let sanitize = busy.clone().or(sanitize);
    let operations = [
        (crypto, EraseMethod::AtaSanitizeCrypto),
        (block, EraseMethod::AtaSanitizeBlock),
        (overwrite, EraseMethod::AtaSanitizeOverwrite),
    ];
    for (_, method) in operations.into_iter().filter(|(has, _)| *has) {
        facts.erase.push(EraseCapability { unusable: sanitize.clone(), ..EraseCapability::usable(method) });
    }
    let failed = "the last sanitize operation failed; until another one succeeds the drive gives no access";
    let inaccessible = busy.or_else(|| status.failed.then(|| failed.to_owned()));
    if let Some(security) = facts.security.filter(|security| security.supported) {
        let unusable = inaccessible.clone().or_else(|| unusable(&security).map(str::to_owned));
        let modes = [true, false].into_iter().filter(|enhanced| !enhanced || security.enhanced_erase);
        facts.erase.extend(modes.map(|enhanced| EraseCapability {
            method: EraseMethod::AtaSecurityErase { enhanced },
            estimated_seconds: match words.erase_time(enhanced) {
                EraseTime::Unspecified => None,
                EraseTime::About(time) | EraseTime::MoreThan(time) => Some(time.as_secs()),
            },
            unusable: unusable.clone(),
        }));
    }
    if facts.provisioning.unmap {
        let method = EraseMethod::Unmap { zeroes_guaranteed: facts.provisioning.reads_zeroes };
        let unusable = inaccessible.or(locked);
        facts.erase.push(EraseCapability { unusable, ..EraseCapability::usable(method) });
    }
}
