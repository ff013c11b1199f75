//! Why a system should not be put on a disk.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tacit_blockdev::{Mount, mounts, swaps};
use tacit_model::BlockDevice;

use super::patience::{self, PATIENCE};
use super::roots::{Roots, link_name, names_in, read_text};
use super::virtual_media::is_virtual_medium;

/// Smallest disk that the default rule takes, in bytes (IPA contract §6).
pub(crate) const MINIMUM_BYTES: u64 = 4 << 30;

/// Where an ISO 9660 file system has its first descriptor (ECMA-119, 8).
const ISO_DESCRIPTOR: u64 = 16 * 2048;

/// What the kernel says about the use of block devices, read once for all disks.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    mounts: Vec<Mount>,
    swaps: Vec<PathBuf>,
    /// `/sys/block`.
    blocks: PathBuf,
}

impl Uses {
    pub(super) fn read(roots: &Roots) -> Self {
        let unread = |error: tacit_blockdev::Error| {
            tracing::warn!("uses of disks are not known: {error}");
        };
        Self {
            mounts: mounts(&roots.proc).map_err(unread).unwrap_or_default(),
            swaps: swaps(&roots.proc).map_err(unread).unwrap_or_default(),
            blocks: roots.sys.join("block"),
        }
    }

    /// Uses of a disk or partition whose folder in sysfs is given.
    fn of(&self, folder: &Path, node: &str, reasons: &mut Vec<String>) {
        let number = read_text(&folder.join("dev")).and_then(|text| {
            let (major, minor) = text.split_once(':')?;
            Some((major.parse().ok()?, minor.parse().ok()?))
        });
        // btrfs has numbers of its own; there the source tells.
        let by_number = self.mounts.iter().find(|mount| Some(mount.number) == number);
        let mount = by_number.or_else(|| self.mounts.iter().find(|mount| mount.source == Path::new(node)));
        if let Some(mount) = mount {
            reasons.push(format!("{node} is mounted at {}", mount.at.display()));
        }
        if self.swaps.iter().any(|swap| swap == Path::new(node)) {
            reasons.push(format!("{node} is used as swap"));
        }
        for holder in names_in(&folder.join("holders")) {
            let upper = self.blocks.join(&holder);
            if is_partition_map(&upper) {
                self.of(&upper, &format!("/dev/{}", holder.replace('!', "/")), reasons);
                continue;
            }
            let what = if holder.starts_with("md") { "a member of the RAID array" } else { "a part of" };
            reasons.push(format!("{node} is {what} /dev/{}", holder.replace('!', "/")));
        }
    }
}

/// All reasons, one sentence each; `folder` is the disk's folder below `/sys/block`.
pub(super) fn reasons(
    roots: &Roots,
    uses: &Uses,
    folder: &Path,
    name: &str,
    disk: &BlockDevice,
) -> Vec<String> {
    let mut reasons = plain(disk);
    if disk.read_only {
        reasons.push("it is read-only".to_owned());
    }
    if disk.removable {
        reasons.push("its medium is removable".to_owned());
    }
    if is_virtual_medium(folder) {
        // It is not read: its server may be gone.
        reasons.push("it is a virtual medium of the management controller".to_owned());
    } else if disk.removable || disk.tran.as_deref() == Some("usb") {
        reasons.extend(boot_medium(roots, disk));
    }
    if disk.name.starts_with("/dev/md")
        && read_text(&folder.join("md/array_state")).as_deref() == Some("inactive")
    {
        reasons.push("the array is not running".to_owned());
    }
    uses.of(folder, &disk.name, &mut reasons);
    for partition in names_in(folder).iter().filter(|entry| entry.starts_with(name)) {
        uses.of(&folder.join(partition), &format!("/dev/{}", partition.replace('!', "/")), &mut reasons);
    }
    reasons
}

/// Reasons that any disk may have, even a plain file.
pub(super) fn plain(disk: &BlockDevice) -> Vec<String> {
    if disk.size < MINIMUM_BYTES {
        vec![format!("it has {} bytes, less than 4 GiB", disk.size)]
    } else {
        Vec::new()
    }
}

/// Partitions of a multipath disk are mapped devices of their own (`part1-mpath-…`): that it has some is no use of it.
fn is_partition_map(folder: &Path) -> bool {
    read_text(&folder.join("dm/uuid"))
        .and_then(|uuid| {
            let (part, rest) = uuid.split_once('-')?;
            Some(part.starts_with("part") && rest.starts_with("mpath-"))
        })
        .unwrap_or(false)
}

/// Whether it can be booted from, as far as it answers.
fn boot_medium(roots: &Roots, disk: &BlockDevice) -> Option<String> {
    let read = |node: &Path| {
        let mut descriptor = [0; 6];
        File::open(node)
            .and_then(|node| node.read_exact_at(&mut descriptor, ISO_DESCRIPTOR))
            .is_ok_and(|()| descriptor == *b"\x01CD001")
    };
    match patience::answer(&roots.device_node(Path::new(&disk.name)), PATIENCE, read) {
        Some(true) => Some("a ramdisk boots from it: it holds an ISO 9660 file system".to_owned()),
        Some(false) => None,
        None => Some(format!("it does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// Why an array is no target that was made with `is_root_volume` false, and the disks that it lies on.
pub(super) fn kept_for_data(roots: &Roots, volume: &str) -> Vec<(String, String)> {
    let name = volume.trim_start_matches("/dev/").replace('/', "!");
    let mut kept = vec![(volume.to_owned(), "it was made as a volume that is not for the system".to_owned())];
    let slaves = roots.sys.join("block").join(name).join("slaves");
    for slave in names_in(&slaves) {
        // A partition lies in the folder of its disk.
        let disk = match slaves.join(&slave).join("partition").exists() {
            true => parent_disk(&slaves.join(&slave)).unwrap_or(slave),
            false => slave,
        };
        kept.push((format!("/dev/{}", disk.replace('!', "/")), format!("it carries {volume}")));
    }
    kept
}

fn parent_disk(partition: &Path) -> Option<String> {
    let folder = fs::canonicalize(partition).ok()?;
    Some(folder.parent()?.file_name()?.to_string_lossy().into_owned())
}

/// The first disk under a multipath device: it tells what the device itself does not.
pub(super) fn first_path(folder: &Path) -> Option<std::path::PathBuf> {
    let slaves = folder.join("slaves");
    let name = names_in(&slaves).into_iter().next()?;
    let target = link_name(&slaves.join(&name)).unwrap_or(name);
    Some(folder.with_file_name(target))
}
