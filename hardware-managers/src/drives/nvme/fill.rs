use tacit_blockdev::Drive;

use super::controller::{Controller, other_namespaces};
use super::namespace::Namespace;
use super::reservations::reservations;
use super::sanitize::{FAILURE_MODE, KINDS, method, read_log};
use super::sanitize_log::SanitizeState;
use super::smart::SmartLog;
use crate::drives::{
    Capacity, DriveError, DriveFacts, DriveHealth, EraseCapability, EraseMethod, Provisioning, Reservations,
};

/// Asks an NVMe drive for everything that it tells of itself. Changes nothing on it; a question that it does not
/// answer leaves a gap and a line in [`DriveFacts::unanswered`].
///
/// A method is listed whatever other namespaces it would reach; whether it may is asked before it is used
/// ([`erase`](super::erase)).
pub(crate) fn fill(drive: &dyn Drive, facts: &mut DriveFacts) {
    facts.sanitize_unknown = true;
    let Some(controller) = facts.note_guard("the controller", Controller::read(drive)) else { return };
    facts.model.clone_from(&controller.model);
    facts.serial.clone_from(&controller.serial);
    facts.firmware.clone_from(&controller.firmware);
    if let Some(log) = facts.note("health", SmartLog::read(drive)) {
        facts.health = health(&log);
    }
    if let Some(namespace) = facts.note("the namespace", Namespace::read(drive)) {
        facts.wwn = Some(namespace.world_wide_name(&controller));
        facts.capacity = Some(Capacity {
            bytes: namespace.size_bytes(),
            logical_sector: namespace.block_bytes,
            physical_sector: namespace.block_bytes,
        });
        facts.provisioning = Provisioning {
            unmap: controller.can_deallocate(),
            reads_zeroes: namespace.deallocated_reads_zeros,
        };
        facts.reservations = if namespace.shared && namespace.reservable {
            let told = reservations(drive, namespace.number);
            facts.note_guard("reservations", told).unwrap_or_default()
        } else {
            Reservations::None
        };
    }
    match facts.note("list of namespaces", other_namespaces(drive, &controller)) {
        Some(others) => facts.unseen_namespaces = others,
        None => facts.may_hide = true,
    }
    let sanitizing = add_sanitize(drive, &controller, facts);
    facts.sanitize_unknown = facts.note("sanitize operations", sanitizing).is_none();
    if controller.can_format() {
        let unusable = facts.sanitize_failed.then(|| FAILURE_MODE.to_owned());
        let crypto = controller.format_erases_key().then_some(EraseMethod::NvmeFormatCrypto);
        let methods = crypto.into_iter().chain([EraseMethod::NvmeFormatUser]);
        facts.erase.extend(
            methods.map(|method| EraseCapability {
                unusable: unusable.clone(),
                ..EraseCapability::usable(method)
            }),
        );
    }
    if controller.can_deallocate() {
        let zeroes_guaranteed = facts.provisioning.reads_zeroes;
        facts.erase.push(EraseCapability::usable(EraseMethod::Unmap { zeroes_guaranteed }));
    }
}

fn add_sanitize(
    drive: &dyn Drive,
    controller: &Controller,
    facts: &mut DriveFacts,
) -> Result<(), DriveError> {
    if !controller.sanitizes() {
        return Ok(());
    }
    let log = read_log(drive)?;
    facts.sanitizing = (log.state == SanitizeState::Running).then_some(log.progress.into());
    facts.sanitize_failed = log.state == SanitizeState::Failed;
    let supported = KINDS.into_iter().filter(|what| controller.can_sanitize(*what));
    facts.erase.extend(supported.map(|what| EraseCapability {
        estimated_seconds: log.estimated_seconds(what),
        ..EraseCapability::usable(method(what))
    }));
    Ok(())
}

fn health(log: &SmartLog) -> DriveHealth {
    match log.warnings() {
        warnings if warnings.is_empty() => DriveHealth::Good,
        warnings => DriveHealth::Failing(warnings.join(", ")),
    }
}
