//! Disks, from `/sys/block` (IPA contract §6).

use std::fs;
use std::path::{Path, PathBuf};

use tacit_model::BlockDevice;

use super::roots::{Roots, names_in, read_flag, read_number, read_text};
use super::{by_path, disk_ids};

/// Kinds of device that are never a server's disk: floppy, memory, optical, boot partitions that MMC guards itself.
const NEVER: [&str; 4] = ["fd", "ram", "zram", "sr"];

pub(super) fn list(roots: &Roots, only: Option<&[PathBuf]>) -> Vec<BlockDevice> {
    let folder = roots.sys.join("block");
    let allowed = only.map(|paths| paths.iter().map(|path| resolve(roots, path)).collect::<Vec<_>>());
    let mut disks: Vec<BlockDevice> = names_in(&folder)
        .into_iter()
        .filter(|name| match &allowed {
            Some(allowed) => allowed.contains(&roots.dev.join(device_name(name))),
            None => !is_numbered(name, "loop"),
        })
        .filter(|name| is_listed(&folder.join(name), name))
        .filter_map(|name| read(&folder.join(&name), &name))
        .collect();
    if let Some(allowed) = &allowed {
        disks.extend(allowed.iter().filter_map(|path| plain_file(path)));
    }
    disks.sort_by(|a, b| a.name.cmp(&b.name));
    disks.dedup_by(|a, b| a.name == b.name);
    disks
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

fn is_listed(folder: &Path, name: &str) -> bool {
    if NEVER.iter().any(|kind| is_numbered(name, kind)) || name.contains("rpmb") {
        return false;
    }
    // One path of a multipath NVMe namespace; the namespace itself is listed beside it.
    if read_flag(&folder.join("hidden")) {
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

fn read(folder: &Path, name: &str) -> Option<BlockDevice> {
    // sysfs counts in units of 512 bytes whatever the sector size is.
    let size = read_number(&folder.join("size"))?.checked_mul(512).filter(|&size| size > 0)?;
    let device = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
    let attribute = |name: &str| read_text(&folder.join(name));
    let sector = |name: &str| u32::try_from(read_number(&folder.join("queue").join(name))?).ok();
    let names = disk_ids::world_wide_name(folder);
    Some(BlockDevice {
        name: format!("/dev/{}", device_name(name)),
        model: attribute("device/model").or_else(|| attribute("device/name")),
        size,
        rotational: read_flag(&folder.join("queue/rotational")),
        // lsblk, which IPA asks first, prefers the long form.
        wwn: names.with_extension.clone().or(names.wwn),
        serial: disk_ids::serial(folder),
        vendor: attribute("device/vendor"),
        wwn_with_extension: names.with_extension,
        wwn_vendor_extension: names.vendor_extension,
        hctl: disk_ids::hctl(folder),
        by_path: by_path::of_disk(&device),
        logical_sectors: sector("logical_block_size"),
        physical_sectors: sector("physical_block_size"),
        tran: disk_ids::transport(&device),
    })
}

/// A regular file that the operator listed as a disk.
fn plain_file(path: &Path) -> Option<BlockDevice> {
    let metadata = fs::metadata(path).ok().filter(|metadata| metadata.is_file() && metadata.len() > 0)?;
    Some(BlockDevice {
        name: path.to_string_lossy().into_owned(),
        size: metadata.len(),
        logical_sectors: Some(512),
        physical_sectors: Some(512),
        ..BlockDevice::default()
    })
}
