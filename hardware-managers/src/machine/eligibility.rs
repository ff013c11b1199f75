//! Why a system should not be put on a disk.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tacit_model::BlockDevice;

use super::roots::{Roots, link_name, names_in, read_text};

/// Smallest disk that the default rule takes, in bytes (IPA contract §6).
pub(crate) const MINIMUM_BYTES: u64 = 4 << 30;

/// Where an ISO 9660 file system has its first descriptor (ECMA-119, 8).
const ISO_DESCRIPTOR: u64 = 16 * 2048;

/// What management controllers call the media that they play over USB, in lower case: AMI, Dell, HPE, Lenovo and
/// Supermicro; Cisco; the gadget of OpenBMC; Dell's own small drives.
const VIRTUAL_MEDIA: [&str; 6] = ["virtual", "vkvm", "file-stor gadget", "openbmc", "lcdrive", "oemdrv"];

/// What the kernel says about the use of block devices, read once for all disks.
#[derive(Clone, Debug, Default)]
pub(super) struct Uses {
    /// By `major:minor` and by path of the device.
    mounts: BTreeMap<String, String>,
    swaps: Vec<String>,
}

impl Uses {
    pub(super) fn read(roots: &Roots) -> Self {
        let mut mounts = BTreeMap::new();
        let table = fs::read_to_string(roots.proc.join("self/mountinfo")).unwrap_or_default();
        for line in table.lines() {
            // proc(5): id, parent, major:minor, root, mount point, …, " - ", type, source.
            let Some((front, back)) = line.split_once(" - ") else { continue };
            let front: Vec<&str> = front.split(' ').collect();
            let [_, _, number, _, at, ..] = front[..] else { continue };
            mounts.entry(number.to_owned()).or_insert_with(|| unescape(at));
            if let Some(source) = back.split(' ').nth(1).filter(|source| source.starts_with("/dev/")) {
                mounts.entry(unescape(source)).or_insert_with(|| unescape(at));
            }
        }
        let table = fs::read_to_string(roots.proc.join("swaps")).unwrap_or_default();
        let swaps =
            table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(unescape).collect();
        Self { mounts, swaps }
    }

    /// Uses of a disk or partition whose folder in sysfs is given.
    fn of(&self, folder: &Path, node: &str, reasons: &mut Vec<String>) {
        let number = read_text(&folder.join("dev"));
        let mount = number.and_then(|number| self.mounts.get(&number)).or_else(|| self.mounts.get(node));
        if let Some(at) = mount {
            reasons.push(format!("{node} is mounted at {at}"));
        }
        if self.swaps.iter().any(|swap| swap == node) {
            reasons.push(format!("{node} is used as swap"));
        }
        for holder in names_in(&folder.join("holders")) {
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
    if is_virtual_medium(disk) {
        reasons.push("it is a virtual medium of the management controller".to_owned());
    }
    if (disk.removable || disk.tran.as_deref() == Some("usb")) && is_boot_medium(roots, disk) {
        reasons.push("a ramdisk boots from it: it holds an ISO 9660 file system".to_owned());
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

fn is_virtual_medium(disk: &BlockDevice) -> bool {
    let names = [disk.vendor.as_deref(), disk.model.as_deref()];
    // Disks of virtual machines call themselves virtual as well; they are no USB devices.
    disk.tran.as_deref() == Some("usb")
        && names
            .into_iter()
            .flatten()
            .map(str::to_lowercase)
            .any(|name| VIRTUAL_MEDIA.iter().any(|word| name.contains(word)))
}

fn is_boot_medium(roots: &Roots, disk: &BlockDevice) -> bool {
    let mut descriptor = [0; 6];
    File::open(roots.device_node(Path::new(&disk.name)))
        .and_then(|node| node.read_exact_at(&mut descriptor, ISO_DESCRIPTOR))
        .is_ok_and(|()| descriptor == *b"\x01CD001")
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

/// `\040` and its like, as the kernel writes white space in its tables.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                plain.push(char::from(code));
                rest = &after[3..];
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain + rest
}

/// The first disk under a multipath device: it tells what the device itself does not.
pub(super) fn first_path(folder: &Path) -> Option<std::path::PathBuf> {
    let slaves = folder.join("slaves");
    let name = names_in(&slaves).into_iter().next()?;
    let target = link_name(&slaves.join(&name)).unwrap_or(name);
    Some(folder.with_file_name(target))
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn the_kernel_s_escapes_are_undone() {
        assert_eq!(unescape(r"/mnt/a\040b\134c"), r"/mnt/a b\c");
        assert_eq!(unescape(r"/mnt/x\"), r"/mnt/x\");
        assert_eq!(unescape(r"\9zz"), r"\9zz");
    }
}
