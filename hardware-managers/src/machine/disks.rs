//! Disks, from `/sys/block` (IPA contract §6).

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use tacit_model::BlockDevice;

use super::ata_page::AtaPage;
use super::eligibility::{self, Uses};
use super::roots::{Roots, names_in, read_flag, read_number, read_text};
use super::{asked, by_path, disk_ids};

/// Kinds of device that are never a server's disk: floppy, memory, optical, boot partitions that MMC guards itself.
const NEVER: [&str; 4] = ["fd", "ram", "zram", "sr"];

pub(super) fn list(roots: &Roots, only: Option<&[PathBuf]>) -> Vec<BlockDevice> {
    let folder = roots.sys.join("block");
    let uses = Uses::read(roots);
    let allowed = only.map(|paths| paths.iter().map(|path| resolve(roots, path)).collect::<Vec<_>>());
    let mut disks: Vec<BlockDevice> = names_in(&folder)
        .into_iter()
        .filter(|name| match &allowed {
            Some(allowed) => allowed.contains(&roots.dev.join(device_name(name))),
            None => !is_numbered(name, "loop"),
        })
        .filter(|name| is_listed(&folder.join(name), name))
        .filter_map(|name| {
            let folder = folder.join(&name);
            let mut disk = read(roots, &folder, &name)?;
            disk.ineligible = eligibility::reasons(roots, &uses, &folder, &name, &disk);
            Some(disk)
        })
        .collect();
    if let Some(allowed) = &allowed {
        disks.extend(allowed.iter().filter_map(|path| plain_file(path)));
    }
    disks.sort_by(|a, b| in_lsblk_order(&a.name, &b.name));
    disks.dedup_by(|a, b| a.name == b.name);
    disks
}

/// All disks that the kernel has: those that an allow-list hides, and each path of a multipath device, too. Nothing is
/// said of how they are used.
pub(super) fn everything(roots: &Roots) -> Vec<BlockDevice> {
    let folder = roots.sys.join("block");
    names_in(&folder)
        .into_iter()
        .filter(|name| is_disk(&folder.join(name), name))
        .filter(|name| !is_numbered(name, "dm-") || is_multipath(&folder.join(name)))
        .filter_map(|name| read(roots, &folder.join(&name), &name))
        .collect()
}

/// Disks that report no size. Only of drivers whose devices stand for hardware, and without those that take media.
pub(super) fn without_size(roots: &Roots, only: Option<&[PathBuf]>) -> Vec<BlockDevice> {
    let folder = roots.sys.join("block");
    let allowed = only.map(|paths| paths.iter().map(|path| resolve(roots, path)).collect::<Vec<_>>());
    let is_hardware =
        |name: &String| ["sd", "nvme", "vd", "mmcblk"].iter().any(|prefix| name.starts_with(prefix));
    names_in(&folder)
        .into_iter()
        .filter(is_hardware)
        .filter(|name| {
            allowed.as_ref().is_none_or(|allowed| allowed.contains(&roots.dev.join(device_name(name))))
        })
        .filter(|name| {
            is_listed(&folder.join(name), name) && !read_flag(&folder.join(name).join("removable"))
        })
        .filter(|name| read_number(&folder.join(name).join("size")) == Some(0))
        .map(|name| {
            let disk = BlockDevice { name: format!("/dev/{}", device_name(&name)), ..BlockDevice::default() };
            named(roots, &folder.join(&name), disk)
        })
        .collect()
}

/// Drivers in the order of their major numbers, which `lsblk` and so ironic-python-agent list disks in: where a hint
/// holds for several disks, its first one is to be ours.
const DRIVERS: [&str; 10] = ["hd", "loop", "sd", "md", "mmcblk", "xvd", "dm-", "vd", "nvme", "pmem"];

/// By driver, and then as the kernel counts: `sdb` before `sdaa`, `nvme2n1` before `nvme10n1`.
pub(crate) fn in_lsblk_order(left: &str, right: &str) -> Ordering {
    let driver = |name: &str| {
        let name = name.trim_start_matches("/dev/");
        DRIVERS.iter().position(|prefix| name.starts_with(prefix)).unwrap_or(DRIVERS.len())
    };
    driver(left).cmp(&driver(right)).then_with(|| as_counted(left, right))
}

fn as_counted(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        let ((a, rest_a), (b, rest_b)) = (first_run(left), first_run(right));
        let order = match (a.parse::<u64>(), b.parse::<u64>()) {
            (Ok(a), Ok(b)) => a.cmp(&b),
            _ => match (lettered(a), lettered(b)) {
                (Some((kind_a, a)), Some((kind_b, b))) if kind_a == kind_b => {
                    a.len().cmp(&b.len()).then(a.cmp(b))
                }
                _ => a.cmp(b),
            },
        };
        if order != Ordering::Equal || (rest_a.is_empty() && rest_b.is_empty()) {
            return order.then_with(|| left.cmp(right));
        }
        (left, right) = (rest_a, rest_b);
    }
}

/// The digits, or what is no digit, at the beginning.
fn first_run(text: &str) -> (&str, &str) {
    let digits = text.starts_with(|c: char| c.is_ascii_digit());
    text.split_at(text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len()))
}

/// Disks that are counted in letters: the driver's prefix and the letters.
fn lettered(name: &str) -> Option<(&str, &str)> {
    let at = name.rfind('/').map_or(0, |slash| slash + 1);
    let prefix = ["sd", "vd", "hd", "xvd"].into_iter().find(|prefix| name[at..].starts_with(prefix))?;
    Some(name.split_at(at + prefix.len()))
}

/// sysfs writes `!` where a device's name has a slash (`cciss!c0d0`).
fn device_name(name: &str) -> String {
    name.replace('!', "/")
}

/// The path without symbolic links, so that `/dev/disk/by-id/…` may stand in an allow-list.
fn resolve(roots: &Roots, path: &Path) -> PathBuf {
    let node = roots.device_node(path);
    fs::canonicalize(&node).unwrap_or(node)
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

fn is_disk(folder: &Path, name: &str) -> bool {
    let never = NEVER.iter().any(|kind| is_numbered(name, kind)) || name.contains("rpmb");
    // Hidden is one path of a multipath NVMe namespace; the namespace itself is listed beside it.
    !never && !read_flag(&folder.join("hidden"))
}

fn is_listed(folder: &Path, name: &str) -> bool {
    if !is_disk(folder, name) {
        return false;
    }
    if is_numbered(name, "dm-") {
        return is_multipath(folder);
    }
    if is_numbered(name, "md") {
        return read_text(&folder.join("md/level")).is_some_and(|level| level.starts_with("raid"));
    }
    // The base disks of a multipath device are the same disk again.
    !names_in(&folder.join("holders")).iter().any(|holder| is_multipath(&folder.with_file_name(holder)))
}

fn is_multipath(folder: &Path) -> bool {
    read_text(&folder.join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("mpath-"))
}

fn read(roots: &Roots, folder: &Path, name: &str) -> Option<BlockDevice> {
    // sysfs counts in units of 512 bytes whatever the sector size is.
    let size = read_number(&folder.join("size"))?.checked_mul(512).filter(|&size| size > 0)?;
    let sector = |name: &str| u32::try_from(read_number(&folder.join("queue").join(name))?).ok();
    let disk = BlockDevice {
        name: format!("/dev/{}", device_name(name)),
        size,
        rotational: read_flag(&folder.join("queue/rotational")),
        logical_sectors: sector("logical_block_size"),
        physical_sectors: sector("physical_block_size"),
        removable: read_flag(&folder.join("removable")),
        read_only: read_flag(&folder.join("ro")),
        discard_max_bytes: read_number(&folder.join("queue/discard_max_bytes")),
        ..BlockDevice::default()
    };
    // A multipath device is the disk that its paths lead to, without the place of any one path.
    if is_numbered(name, "dm-")
        && let Some(path) = eligibility::first_path(folder)
    {
        return Some(BlockDevice { hctl: None, by_path: None, ..named(roots, &path, disk) });
    }
    Some(asked::complete(roots, named(roots, folder, disk)))
}

/// With the names and the place of the disk whose folder is given.
fn named(roots: &Roots, folder: &Path, disk: BlockDevice) -> BlockDevice {
    let attribute = |name: &str| read_text(&folder.join("device").join(name));
    let device = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    // The one path, or the first of several, by which a multipath NVMe namespace is reached.
    let place = disk_ids::nvme_path(&device).unwrap_or(device);
    let names = disk_ids::world_wide_name(folder);
    let transport = disk_ids::transport(&place);
    // SCSI cuts an ATA disk's model to sixteen characters and its firmware to four.
    let ata =
        (transport.as_deref() != Some("nvme")).then(|| AtaPage::read(folder)).flatten().unwrap_or_default();
    let function = by_path::last_pci_address(&place);
    BlockDevice {
        model: ata.model.or_else(|| attribute("model")).or_else(|| attribute("name")),
        // lsblk, which IPA asks first, prefers the long form.
        wwn: names.with_extension.clone().or(names.wwn),
        serial: disk_ids::serial(folder).or(ata.serial),
        vendor: attribute("vendor"),
        wwn_with_extension: names.with_extension,
        wwn_vendor_extension: names.vendor_extension,
        hctl: disk_ids::hctl(folder),
        by_path: by_path::of_disk(&place),
        tran: transport,
        firmware: ata.firmware.or_else(|| attribute("firmware_rev")).or_else(|| attribute("rev")),
        provisioning: disk_ids::provisioning(folder),
        numa_node: function.and_then(|address| {
            let folder = roots.sys.join("bus/pci/devices").join(address);
            read_text(&folder.join("numa_node"))?.parse().ok()
        }),
        ..disk
    }
}

/// A regular file that the operator listed as a disk.
fn plain_file(path: &Path) -> Option<BlockDevice> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file() && metadata.len() > 0)?;
    let disk = BlockDevice {
        name: path.to_string_lossy().into_owned(),
        size: metadata.len(),
        logical_sectors: Some(512),
        physical_sectors: Some(512),
        ..BlockDevice::default()
    };
    Some(BlockDevice { ineligible: eligibility::plain(&disk), ..disk })
}

#[cfg(test)]
mod tests {
    use super::in_lsblk_order;

    #[test]
    fn names_are_in_the_order_of_lsblk() {
        let sorted = [
            "/dev/loop3",
            "/dev/sda",
            "/dev/sdb",
            "/dev/sdz",
            "/dev/sdaa",
            "/dev/sdab",
            "/dev/md0",
            "/dev/dm-2",
            "/dev/dm-10",
            "/dev/vda",
            "/dev/vdaa",
            "/dev/nvme2n1",
            "/dev/nvme2n10",
            "/dev/nvme10n1",
            "/dev/cciss/c0d0",
        ];
        let mut names = sorted;
        names.reverse();
        names.sort_by(|a, b| in_lsblk_order(a, b));
        assert_eq!(names, sorted);
        assert_eq!(in_lsblk_order("/dev/sda", "/dev/sda"), std::cmp::Ordering::Equal);
        assert_ne!(in_lsblk_order("/dev/x01", "/dev/x1"), std::cmp::Ordering::Equal);
    }
}
