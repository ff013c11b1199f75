//! Names that a disk has from its maker: serial, world wide name, transport, SCSI address.

use std::fs;
use std::path::{Path, PathBuf};

use super::by_path::is_hctl;
use super::roots::{names_in, read_text};

/// World wide names of a disk, as udev calls them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct WorldWideName {
    pub(super) wwn: Option<String>,
    pub(super) vendor_extension: Option<String>,
    pub(super) with_extension: Option<String>,
}

/// Serial of the disk whose `/sys/block/X` folder is given: virtio, NVMe and MMC as text, SCSI and ATA from the unit
/// serial number page (SPC-4 §7.8.15).
pub(super) fn serial(folder: &Path) -> Option<String> {
    read_text(&folder.join("serial"))
        .or_else(|| read_text(&folder.join("device/serial")))
        .or_else(|| unit_serial(&fs::read(folder.join("device/vpd_pg80")).ok()?))
}

fn unit_serial(page: &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let bytes = page.get(4..)?;
    let text = String::from_utf8_lossy(&bytes[..length.min(bytes.len())]);
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    (!text.is_empty()).then(|| text.to_owned())
}

/// World wide name: the device identification page of SCSI and ATA disks, the kernel's `wwid` for NVMe.
pub(super) fn world_wide_name(folder: &Path) -> WorldWideName {
    if let Some(found) = fs::read(folder.join("device/vpd_pg83")).ok().and_then(|page| naa_identifier(&page))
    {
        return found;
    }
    let wwid = read_text(&folder.join("wwid")).or_else(|| read_text(&folder.join("device/wwid")));
    match wwid.as_deref().and_then(|wwid| wwid.split_once('.')) {
        Some(("naa", hex)) => {
            let name = Some(format!("0x{hex}"));
            WorldWideName { with_extension: name.clone(), wwn: name, vendor_extension: None }
        }
        // What udev's rules take over for NVMe, as a name without extension; a `t10.` name is made of model and serial
        // and is no WWN.
        Some(("eui" | "uuid" | "nvme", _)) => WorldWideName { wwn: wwid, ..WorldWideName::default() },
        _ => WorldWideName::default(),
    }
}

/// The first NAA designator of the logical unit (SPC-4 §7.8.6). A registered extended one (NAA 6) has its vendor
/// specific half as extension.
fn naa_identifier(page: &[u8]) -> Option<WorldWideName> {
    let end = 4 + usize::from(u16::from_be_bytes([*page.get(2)?, *page.get(3)?]));
    let mut rest = page.get(4..end.min(page.len()))?;
    while let [_, kind, _, length, tail @ ..] = rest {
        let designator = tail.get(..usize::from(*length))?;
        let (association, kind) = (kind >> 4 & 3, kind & 15);
        if association == 0 && kind == 3 && matches!(designator.len(), 8 | 16) {
            let hex: String = designator.iter().map(|byte| format!("{byte:02x}")).collect();
            let (name, extension) = hex.split_at(16);
            return Some(WorldWideName {
                wwn: Some(format!("0x{name}")),
                vendor_extension: (!extension.is_empty()).then(|| format!("0x{extension}")),
                with_extension: Some(format!("0x{hex}")),
            });
        }
        rest = &tail[usize::from(*length)..];
    }
    None
}

/// How a SCSI disk provides its blocks, from the logical block provisioning page (SBC-5, 6.6.9).
pub(super) fn provisioning(folder: &Path) -> Option<String> {
    let page = fs::read(folder.join("device/vpd_pgb2")).ok()?;
    if page.get(1) != Some(&0xb2) {
        return None;
    }
    let word = match page.get(6)? & 7 {
        1 => "resource",
        2 => "thin",
        // What the page does not say otherwise is fully provisioned.
        _ => "full",
    };
    Some(word.to_owned())
}

/// The folder of the first path to a multipath NVMe namespace, given the namespace's real folder, which is a virtual
/// one. Paths are hidden disks `nvmeXcYnZ` of the subsystem's controllers.
pub(super) fn nvme_path(device: &Path) -> Option<PathBuf> {
    let subsystem = device.parent()?;
    let is_subsystem = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("nvme-subsys");
    subsystem.file_name().filter(|name| is_subsystem(name))?;
    let name = device.file_name()?.to_string_lossy().into_owned();
    let (head, namespace) = name.rsplit_once('n')?;
    names_in(subsystem).into_iter().filter(|entry| is_controller(entry)).find_map(|controller| {
        let folder = fs::canonicalize(subsystem.join(&controller)).ok()?;
        let path = names_in(&folder).into_iter().find(|entry| {
            let rest = entry.strip_prefix(head).and_then(|rest| rest.strip_prefix('c'));
            rest.and_then(|rest| rest.split_once('n')).is_some_and(|(_, number)| number == namespace)
        })?;
        Some(folder.join(path))
    })
}

/// `nvme0`, not `nvme0n1`.
fn is_controller(name: &str) -> bool {
    name.strip_prefix("nvme").is_some_and(|n| !n.is_empty() && n.bytes().all(|byte| byte.is_ascii_digit()))
}

/// SCSI address `host:channel:target:lun`.
pub(super) fn hctl(folder: &Path) -> Option<String> {
    names_in(&folder.join("device/scsi_device")).into_iter().find(|name| is_hctl(name)).or_else(|| {
        let target = fs::canonicalize(folder.join("device")).ok()?;
        let name = target.file_name()?.to_string_lossy().into_owned();
        is_hctl(&name).then_some(name)
    })
}

/// Transport, in the words of lsblk, from the disk's real folder in sysfs.
pub(crate) fn transport(device: &Path) -> Option<String> {
    let parts: Vec<_> = device.iter().map(|part| part.to_string_lossy().into_owned()).collect();
    let has = |prefix: &str| parts.iter().any(|part| part.starts_with(prefix));
    let numbered = |prefix: &str| {
        parts.iter().any(|part| {
            part.strip_prefix(prefix).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    let word = if numbered("usb") {
        "usb"
    } else if numbered("session") {
        "iscsi"
    } else if has("rport-") {
        "fc"
    } else if has("end_device-") || has("sas_") {
        "sas"
    } else if numbered("ata") {
        "sata"
    } else if numbered("nvme") || has("nvme-subsys") {
        "nvme"
    } else if numbered("mmc") {
        "mmc"
    } else if numbered("virtio") {
        "virtio"
    } else {
        return None;
    };
    Some(word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unit_serial_is_cut_to_its_length() {
        assert_eq!(unit_serial(b"\0\x80\0\x06 AB12 trailing").as_deref(), Some("AB12"));
        assert_eq!(unit_serial(b"\0\x80\0\xffAB"), Some("AB".into()));
        assert_eq!(unit_serial(b"\0\x80\0\0"), None);
        assert_eq!(unit_serial(b"\0\x80"), None);
    }

    #[test]
    fn the_unit_s_naa_name_is_found_behind_others() {
        let t10 = [2, 1, 0, 4, b'A', b'T', b'A', b' '];
        let port = [1, 0x93, 0, 8, 0x50, 0, 0, 0, 0, 0, 0, 9];
        let long: Vec<u8> = [vec![1, 3, 0, 16], (0x60..0x70).collect()].concat();
        let body = [t10.as_slice(), &port, &long].concat();
        let page = [&[0, 0x83, 0, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
        let found = naa_identifier(&page).unwrap();
        assert_eq!(found.wwn.as_deref(), Some("0x6061626364656667"));
        assert_eq!(found.vendor_extension.as_deref(), Some("0x68696a6b6c6d6e6f"));
        assert_eq!(found.with_extension.as_deref(), Some("0x606162636465666768696a6b6c6d6e6f"));
        for length in 0..page.len() {
            assert_eq!(naa_identifier(&page[..length]), None);
        }
    }
}
