//! What only the drive itself can tell, where sysfs does not: old controllers and kernels have no identification pages.

use std::path::Path;

use tacit_blockdev::{Access, Device};
use tacit_model::BlockDevice;

use super::patience::{self, PATIENCE};
use super::roots::Roots;
use crate::drives::{DriveFacts, DriveKind, identify};

/// Asks a drive that has no serial in sysfs. Others are left in peace: questions take time, and there is one for each
/// disk every time that disks are listed.
pub(super) fn complete(roots: &Roots, disk: BlockDevice) -> BlockDevice {
    let kind = DriveKind::of(&disk.name);
    // Bridges of USB disks are known to hang on commands that they do not know.
    let asks = roots.is_real() && disk.serial.is_none() && disk.tran.as_deref() != Some("usb");
    if !asks || kind == DriveKind::Plain {
        return disk;
    }
    let node = roots.device_node(disk.name.as_ref());
    let question = move |node: &Path| Device::open(node, Access::Read).map(|device| identify(&device, kind));
    match patience::answer(&node, PATIENCE, question) {
        Some(Ok(facts)) => with_facts(disk, facts),
        Some(Err(error)) => {
            tracing::debug!("{} cannot be asked for its serial: {error}", disk.name);
            disk
        }
        None => disk,
    }
}

/// Only gaps are filled: what sysfs tells, other tools on this machine see as well.
fn with_facts(disk: BlockDevice, facts: DriveFacts) -> BlockDevice {
    let naa = facts.wwn.clone().filter(|name| name.starts_with("0x"));
    BlockDevice {
        serial: disk.serial.or(facts.serial),
        firmware: disk.firmware.or(facts.firmware),
        model: disk.model.or(facts.model),
        wwn_with_extension: disk.wwn_with_extension.or(naa),
        wwn: disk.wwn.or(facts.wwn),
        ..disk
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gaps_are_filled() {
        let facts = DriveFacts {
            serial: Some("S1".into()),
            firmware: Some("F2".into()),
            model: Some("its own name".into()),
            wwn: Some("0x5000c50000000001".into()),
            ..DriveFacts::default()
        };
        let disk = BlockDevice { model: Some("ACME".into()), ..BlockDevice::default() };
        let full = with_facts(disk, facts.clone());
        assert_eq!((full.serial.as_deref(), full.firmware.as_deref()), (Some("S1"), Some("F2")));
        assert_eq!((full.model.as_deref(), full.wwn.as_deref()), (Some("ACME"), Some("0x5000c50000000001")));
        assert_eq!(full.wwn_with_extension, full.wwn);
        let nvme = DriveFacts { wwn: Some("eui.0025385b".into()), ..facts };
        let full = with_facts(BlockDevice::default(), nvme);
        assert_eq!((full.wwn.as_deref(), full.wwn_with_extension), (Some("eui.0025385b"), None));
    }

    #[test]
    fn a_drive_of_a_fixture_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let disk = BlockDevice { name: "/dev/sda".into(), ..BlockDevice::default() };
        assert_eq!(complete(&Roots::below(folder.path()), disk.clone()), disk);
    }
}
