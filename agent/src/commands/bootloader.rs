//! `image.install_bootloader` (IPA contract §2.6): an entry in the firmware's boot menu.

use std::path::Path;

use serde_json::Value;
use tacit_hardware::{BootEntryError, BootEntryOutcome, BootEntryRequest, install_boot_entry};
use tacit_protocol::error::DiskState;

use super::root_device;
use super::table::Call;
use crate::jobs::{CommandError, Front};

/// Whole-disk images only: an entry for the disk's own loader. There is no GRUB installation (IPA's is off by
/// default, CVE-2026-43003), so what a machine without UEFI starts is its MBR.
pub(super) fn install_bootloader(call: &Call<'_>) -> Result<Value, CommandError> {
    let disk = match (call.agent.deployed(), call.agent.node()) {
        (Some(deployed), _) => deployed.device,
        // After a restart the agent knows neither: the smallest of several disks may be any system's, and not the
        // deployed one.
        (None, Value::Null) if call.agent.machine.disks().len() > 1 => {
            let text =
                "several disks, and neither was an image written nor a node told since the agent began";
            return Err(CommandError::new("DeviceNotFound", text));
        }
        (None, node) => root_device::choose(call.agent, &node)?.disk.name,
    };
    let request = BootEntryRequest {
        efi_system_part_uuid: call
            .params
            .get("efi_system_part_uuid")
            .and_then(Value::as_str)
            .map(str::to_owned),
        ..BootEntryRequest::default()
    };
    match install_boot_entry(&call.agent.machine, Path::new(&disk), &request) {
        Ok(report) => {
            tracing::info!("boot entry for {disk}: {report:?}");
            if report.outcome == BootEntryOutcome::Skipped
                && needs_bios_loader(call)
                && !ignores_failure(call)
            {
                let text = "Legacy BIOS boot loaders are not installed (CVE-2026-43003).";
                return Err(CommandError::new("InvalidImage", text));
            }
            Ok(match call.job.front() {
                // IPA tells nothing.
                Front::V1 => Value::Null,
                Front::V2 => serde_json::to_value(report).unwrap_or_default(),
            })
        }
        Err(error) if ignores_failure(call) => {
            tracing::warn!(
                "boot entry for {disk}, failure ignored as asked: {}",
                CommandError::chain(&error)
            );
            Ok(Value::Null)
        }
        // IPA leaves it at that (IPA contract §2.6), and Ironic believes it.
        Err(error @ BootEntryError::NoLoader { .. })
            if call.job.front() == Front::V1 && !needs_bios_loader(call) =>
        {
            tracing::error!("no boot entry for {disk}: {}", CommandError::chain(&error));
            Ok(Value::Null)
        }
        Err(error) => Err(failure(&error)),
    }
}

fn failure(error: &BootEntryError) -> CommandError {
    let disk = if error.touched() { DiskState::NotBootable } else { DiskState::Untouched };
    CommandError::new(error.class(), CommandError::chain(error)).with_retry(error.retry()).with_disk(disk)
}

/// A root file system was named: the image has no boot loader of its own. GPT disks give zeros here.
fn needs_bios_loader(call: &Call<'_>) -> bool {
    call.params.get("root_uuid").and_then(Value::as_str).is_some_and(|uuid| uuid != "0x00000000")
}

fn ignores_failure(call: &Call<'_>) -> bool {
    let own = || call.agent.ipa().is_some_and(|ipa| ipa.ignore_bootloader_failure);
    match call.params.get("ignore_bootloader_failure") {
        None | Some(Value::Null) => own(),
        Some(Value::Bool(ignore)) => *ignore,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_it_left_and_whether_to_try_again() {
        let read = || BootEntryError::Variable {
            action: "read",
            variable: "BootOrder".into(),
            source: std::io::ErrorKind::Interrupted.into(),
        };
        let told = |error: &BootEntryError| {
            let error = failure(error).error;
            (error.class, error.retry, error.disk)
        };
        assert_eq!(told(&read()), ("CommandExecutionError".into(), true, DiskState::Untouched));
        // Once the copies on an array's disks are begun.
        let begun = BootEntryError::Begun { disk: "/dev/md0".into(), source: Box::new(read()) };
        assert_eq!(told(&begun), ("CommandExecutionError".into(), true, DiskState::NotBootable));
        let none = BootEntryError::NoLoader { disk: "/dev/sda".into(), partition: 1 };
        assert_eq!(told(&none), ("InvalidImage".into(), false, DiskState::Untouched));
    }
}
