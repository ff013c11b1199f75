//! Arrays as the kernel shows them in sysfs (`Documentation/admin-guide/md.rst` of the kernel).

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::error::RaidError;
use crate::machine::{Machine, Roots, names_in, read_flag, read_number, read_text};

/// How long the kernel may take to show what it was told to make.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(20);

/// An array that the kernel knows, running or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Array {
    /// `/dev/md0`.
    pub(super) device: String,
    /// `raid1`; empty while it is not running.
    pub(super) level: String,
    pub(super) raid_disks: u64,
    /// `clean`, `active`, `inactive`, …
    pub(super) state: String,
    /// `1.2`, `external:imsm`, …
    pub(super) metadata: String,
    /// Members that are missing; levels without redundancy tell none.
    pub(super) degraded: Option<u64>,
    /// `idle`, `resync`, …; levels without redundancy have none.
    pub(super) sync_action: Option<String>,
    pub(super) size_bytes: u64,
    pub(super) members: Vec<Member>,
    /// Devices that are built upon it.
    pub(super) holders: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Member {
    /// `/dev/sda1`.
    pub(super) device: String,
    /// The disk that it lies on, or is.
    pub(super) disk: String,
    /// Bytes from the start of the disk.
    pub(super) start: u64,
    /// Bytes.
    pub(super) length: u64,
    /// Number in the array, `none` for a spare.
    pub(super) slot: String,
    /// `in_sync`, `spare`, `faulty`, …
    pub(super) state: String,
}

/// A device's place on its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) disk: String,
    pub(super) start: u64,
    pub(super) length: u64,
}

/// sysfs writes `!` where a device's name has a slash.
fn device(name: &str) -> String {
    format!("/dev/{}", name.replace('!', "/"))
}

/// The folder of sysfs for a device name.
pub(super) fn folder(roots: &Roots, device: &str) -> PathBuf {
    roots.sys.join("block").join(device.trim_start_matches("/dev/").replace('/', "!"))
}

/// All arrays, by name.
pub(super) fn list(machine: &Machine) -> Vec<Array> {
    names_in(&machine.roots().sys.join("block"))
        .iter()
        .filter(|name| name.starts_with("md"))
        .filter_map(|name| read(machine, &device(name)))
        .collect()
}

/// One array; `None` when the kernel has none of this name, or an empty one.
pub(super) fn read(machine: &Machine, array: &str) -> Option<Array> {
    let roots = machine.roots();
    let block = folder(roots, array);
    let md = block.join("md");
    let text = |name: &str| read_text(&md.join(name));
    let state = text("array_state")?;
    let members: Vec<Member> = names_in(&md)
        .iter()
        .filter_map(|name| name.strip_prefix("dev-"))
        .filter_map(|name| member(roots, &md, name))
        .collect();
    // What mdadm leaves behind for a moment after an array was stopped.
    if state == "clear" && members.is_empty() {
        return None;
    }
    Some(Array {
        device: array.to_owned(),
        level: text("level").unwrap_or_default(),
        // Followed by a second number in brackets while an array changes its shape.
        raid_disks: text("raid_disks")
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .unwrap_or_default(),
        metadata: text("metadata_version").unwrap_or_default(),
        degraded: read_number(&md.join("degraded")),
        sync_action: text("sync_action"),
        size_bytes: read_number(&block.join("size")).unwrap_or_default().saturating_mul(512),
        holders: names_in(&block.join("holders")).iter().map(|name| device(name)).collect(),
        members,
        state,
    })
}

fn member(roots: &Roots, md: &Path, name: &str) -> Option<Member> {
    let folder = md.join(format!("dev-{name}"));
    let place = place(roots, &device(name))?;
    Some(Member {
        device: device(name),
        disk: place.disk,
        start: place.start,
        length: place.length,
        slot: read_text(&folder.join("slot")).unwrap_or_default(),
        state: read_text(&folder.join("state")).unwrap_or_default(),
    })
}

/// Where a partition or a disk lies.
pub(super) fn place(roots: &Roots, name: &str) -> Option<Place> {
    // sysfs counts in units of 512 bytes whatever the sector size is.
    let bytes = |path: PathBuf| read_number(&path)?.checked_mul(512);
    let whole = folder(roots, name);
    if whole.join("size").exists() {
        return Some(Place { disk: name.to_owned(), start: 0, length: bytes(whole.join("size"))? });
    }
    let kernel_name = whole.file_name()?;
    let block = roots.sys.join("block");
    names_in(&block).iter().find_map(|disk| {
        let part = block.join(disk).join(kernel_name);
        Some(Place {
            disk: device(disk),
            start: bytes(part.join("start"))?,
            length: bytes(part.join("size"))?,
        })
    })
}

/// The node of the partition of this number, once the kernel shows it where it was made.
///
/// # Errors
///
/// [`RaidError::NotSeen`] after [`DEADLINE`].
pub(super) fn await_partition(
    machine: &Machine,
    disk: &str,
    number: u32,
    start: u64,
    length: u64,
) -> Result<PathBuf, RaidError> {
    let folder = folder(machine.roots(), disk);
    let find = || {
        names_in(&folder).into_iter().find_map(|name| {
            let part = folder.join(&name);
            let is_it = read_number(&part.join("partition")) == Some(u64::from(number))
                && read_number(&part.join("start")) == Some(start / 512)
                && read_number(&part.join("size")) == Some(length / 512);
            is_it.then(|| machine.device_node(device(&name))).filter(|node| node.exists())
        })
    };
    wait_for(find, || format!("partition {number} of {disk}"))
}

/// # Errors
///
/// [`RaidError::NotSeen`] when `look` finds nothing within [`DEADLINE`].
pub(super) fn wait_for<T>(look: impl Fn() -> Option<T>, what: impl Fn() -> String) -> Result<T, RaidError> {
    let end = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() >= end {
            return Err(RaidError::NotSeen { what: what(), deadline: DEADLINE });
        }
        thread::sleep(LOOK);
    }
}

/// The lowest `/dev/mdN` that no array has.
pub(super) fn free_device(machine: &Machine) -> String {
    let block = machine.roots().sys.join("block");
    let number = (0..=u32::MAX).find(|number| !block.join(format!("md{number}")).exists());
    format!("/dev/md{}", number.expect("a machine has fewer arrays than numbers"))
}

/// Whether the kernel takes no writes to the device.
pub(super) fn is_read_only(machine: &Machine, name: &str) -> bool {
    read_flag(&folder(machine.roots(), name).join("ro"))
}
