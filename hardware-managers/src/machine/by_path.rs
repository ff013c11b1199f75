//! The name that udev's `path_id` gives a disk below `/dev/disk/by-path`, computed from the device's place in sysfs.
//!
//! Covers disks behind PCI or platform controllers: virtio, NVMe, ATA, USB and plain SCSI hosts. SAS, Fibre Channel
//! and iSCSI names need facts of the fabric; there the answer is `None`.

use std::path::Path;

use super::roots::{names_in, read_text};

/// `/dev/disk/by-path/…` for the disk whose real sysfs folder is given, `…/devices/pci0000:00/…/block/sda`.
pub(super) fn of_disk(device: &Path) -> Option<String> {
    let parts = components(device);
    let pci = parts.iter().rposition(|part| is_pci_address(part));
    let bus = match pci {
        Some(at) => format!("{}pci-{}", platform_prefix(&parts[..at]), parts[at]),
        None => platform_name(&parts).map(|name| format!("platform-{name}"))?,
    };
    let below = &parts[pci.map_or(0, |at| at + 1)..];
    let suffix = controller_suffix(device, below)?;
    Some(format!("/dev/disk/by-path/{bus}{suffix}"))
}

/// The other name of an ATA disk: udev of today ends it in `-ata-1.0`, older ones in `-ata-1`; both links exist.
pub(crate) fn ata_compatible(by_path: &str) -> Option<&str> {
    by_path.strip_suffix(".0").filter(|rest| {
        rest.rsplit_once("-ata-").is_some_and(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
    })
}

/// The other name of a virtio disk: older versions of udev begin it with `virtio-`; both links exist.
pub(crate) fn virtio_compatible(by_path: &str) -> Option<String> {
    let (folder, place) = by_path.rsplit_once('/')?;
    Some(format!("{folder}/virtio-{place}"))
}

/// The PCI function nearest to a device.
pub(super) fn last_pci_address(device: &Path) -> Option<String> {
    components(device).into_iter().rev().find(|part| is_pci_address(part))
}

fn components(path: &Path) -> Vec<String> {
    path.iter().map(|part| part.to_string_lossy().into_owned()).collect()
}

/// `0000:00:1f.2`, with a domain of four or more digits.
fn is_pci_address(text: &str) -> bool {
    let hex = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut parts = text.split(':');
    let (Some(domain), Some(bus), Some(rest), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    let Some((slot, function)) = rest.split_once('.') else { return false };
    domain.len() >= 4
        && bus.len() == 2
        && slot.len() == 2
        && function.len() == 1
        && [domain, bus, slot, function].into_iter().all(hex)
}

/// Name of the platform device nearest to the disk: the last component below `platform` that is not of another bus.
fn platform_name(parts: &[String]) -> Option<&str> {
    let at = parts.iter().position(|part| part == "platform")?;
    parts[at + 1..]
        .iter()
        .take_while(|part| {
            !["ata", "host", "mmc_host", "usb", "virtio", "nvme", "block", "pci"]
                .iter()
                .any(|bus| part.starts_with(bus))
        })
        .last()
        .map(String::as_str)
}

/// `platform-4010000000.pcie-` for a PCI bridge that is itself a platform device.
fn platform_prefix(above: &[String]) -> String {
    platform_name(above).map_or_else(String::new, |name| format!("platform-{name}-"))
}

fn controller_suffix(device: &Path, below: &[String]) -> Option<String> {
    let named = |prefix: &str| {
        below.iter().find(|part| {
            part.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    if below.iter().any(|part| {
        ["rport-", "session", "end_device-", "expander-"].iter().any(|fabric| part.starts_with(fabric))
    }) {
        return None;
    }
    if named("nvme").is_some() {
        return Some(format!("-nvme-{}", read_text(&device.join("nsid"))?));
    }
    let usb = below.iter().rev().find_map(|part| {
        // An interface, `1-1.2:1.0`: bus, port path, configuration and interface.
        let (bus, rest) = part.split_once('-')?;
        let is_interface = bus.parse::<u32>().is_ok() && rest.split_once(':')?.1.contains('.');
        is_interface.then(|| format!("-usb-0:{rest}"))
    });
    let Some(hctl) = below.iter().rev().find(|part| is_hctl(part)) else {
        // A disk directly on its controller's function: virtio.
        return named("virtio").map(|_| String::new());
    };
    if let Some(ata) = named("ata") {
        let port = read_text(&ancestor(device, ata)?.join("ata_port").join(ata).join("port_no"))
            .or_else(|| ata.strip_prefix("ata").map(str::to_owned))?;
        return Some(format!("-ata-{port}.0"));
    }
    let host = named("host")?;
    let mut numbers = hctl.split(':');
    numbers.next();
    let rest: Vec<&str> = numbers.collect();
    let relative = relative_host(&ancestor(device, host)?, host)?;
    Some(format!("{}-scsi-{relative}:{}", usb.unwrap_or_default(), rest.join(":")))
}

/// Host numbers are given out in order of discovery; what is stable is the distance to the controller's first host.
fn relative_host(host_folder: &Path, host: &str) -> Option<u32> {
    let number = |name: &str| name.strip_prefix("host")?.parse::<u32>().ok();
    let own = number(host)?;
    let first = names_in(host_folder.parent()?).iter().filter_map(|name| number(name)).min()?;
    own.checked_sub(first)
}

/// The folder above `device` whose name is `name`.
fn ancestor(device: &Path, name: &str) -> Option<std::path::PathBuf> {
    device
        .ancestors()
        .find(|folder| folder.file_name().is_some_and(|last| last == name))
        .map(Path::to_path_buf)
}

/// `host:channel:target:lun`, four decimal numbers.
pub(super) fn is_hctl(text: &str) -> bool {
    text.split(':').count() == 4 && text.split(':').all(|part| part.parse::<u64>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(path: &str, files: &[(&str, &str)]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("sys/devices").join(path);
        std::fs::create_dir_all(&device).unwrap();
        for (file, text) in files {
            let file = folder.path().join("sys/devices").join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        of_disk(&device).map(|full| full.trim_start_matches("/dev/disk/by-path/").to_owned())
    }

    #[test]
    fn names_are_those_of_udev() {
        assert_eq!(name("pci0000:00/0000:00:05.0/virtio2/block/vda", &[]).unwrap(), "pci-0000:00:05.0");
        let nvme = "pci0000:00/0000:00:01.0/0000:01:00.0/nvme/nvme0/nvme0n1";
        assert_eq!(name(nvme, &[(&format!("{nvme}/nsid"), "1\n")]).unwrap(), "pci-0000:01:00.0-nvme-1");
        let ata = "pci0000:00/0000:00:1f.2/ata3";
        assert_eq!(
            name(
                &format!("{ata}/host2/target2:0:0/2:0:0:0/block/sda"),
                &[(&format!("{ata}/ata_port/ata3/port_no"), "3\n")]
            )
            .unwrap(),
            "pci-0000:00:1f.2-ata-3.0"
        );
        assert_eq!(
            name("pci0000:00/0000:00:04.0/virtio1/host7/target7:0:3/7:0:3:1/block/sdb", &[]).unwrap(),
            "pci-0000:00:04.0-scsi-0:0:3:1"
        );
        assert_eq!(
            name("pci0000:00/0000:00:14.0/usb2/2-1/2-1.4/2-1.4:1.0/host6/target6:0:0/6:0:0:0/block/sdc", &[])
                .unwrap(),
            "pci-0000:00:14.0-usb-0:1.4:1.0-scsi-0:0:0:0"
        );
        assert_eq!(
            name("platform/4010000000.pcie/pci0000:00/0000:00:02.0/virtio1/block/vda", &[]).unwrap(),
            "platform-4010000000.pcie-pci-0000:00:02.0"
        );
    }

    #[test]
    fn fabrics_and_virtual_disks_have_no_name() {
        let sas = "pci0000:00/0000:03:00.0/host0/port-0:0/end_device-0:0/target0:0:0/0:0:0:0/block/sda";
        assert_eq!(name(sas, &[]), None);
        assert_eq!(name("virtual/block/loop0", &[]), None);
    }

    #[test]
    fn ata_names_have_an_older_form() {
        assert_eq!(
            ata_compatible("/dev/disk/by-path/pci-0000:00:1f.2-ata-3.0"),
            Some("/dev/disk/by-path/pci-0000:00:1f.2-ata-3")
        );
        assert_eq!(ata_compatible("/dev/disk/by-path/pci-0000:00:05.0"), None);
    }
}
