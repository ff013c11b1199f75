//! What a disk is, who uses it, and what would be lost.

use std::fmt;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use indicatif::BinaryBytes;
use nix::sys::stat::{major, minor};
use tacit_blockdev::{Access, Device, Error};

use super::error::WriteError;

/// Where the kernel tells about disks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kernel<'a> {
    pub(super) sys: &'a Path,
    pub(super) proc: &'a Path,
}

impl Default for Kernel<'_> {
    fn default() -> Self {
        Self { sys: Path::new("/sys"), proc: Path::new("/proc") }
    }
}

/// A disk as a person recognises it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Description {
    path: PathBuf,
    size: u64,
    kind: &'static str,
    model: Option<String>,
    serial: Option<String>,
    /// Name, size in bytes, and label of each partition.
    partitions: Vec<(String, u64, Option<String>)>,
}

/// Opens a disk for writing. From here on the kernel lets nobody else mount it.
///
/// # Errors
///
/// When somebody uses it, by what; when it is read-only or no disk.
pub(super) fn open(path: &Path, kernel: Kernel<'_>) -> Result<Device, WriteError> {
    let in_use = |users: Vec<String>| WriteError::InUse {
        device: path.display().to_string(),
        users: users.join(", "),
    };
    let users = users(path, kernel);
    if !users.is_empty() {
        return Err(in_use(users));
    }
    let device = match Device::open(path, Access::Exclusive) {
        Err(Error::InUse { .. }) => {
            return Err(in_use(vec!["another process has it for itself, or another mount namespace".into()]));
        }
        outcome => outcome?,
    };
    if device.is_read_only() {
        return Err(WriteError::ReadOnly { device: path.display().to_string() });
    }
    Ok(device)
}

/// Mounts, swap areas, and devices on top of `path` and its partitions; loop devices of a file.
fn users(path: &Path, kernel: Kernel<'_>) -> Vec<String> {
    let Ok(metadata) = fs::metadata(path) else { return Vec::new() };
    if !metadata.file_type().is_block_device() {
        return loops_of(path, kernel);
    }
    users_of(metadata.rdev(), kernel)
}

fn users_of(device: u64, kernel: Kernel<'_>) -> Vec<String> {
    let folder = folder(device, kernel);
    let mut numbers = vec![(numbered(device), folder.clone())];
    numbers.extend(partition_folders(&folder).into_iter().filter_map(|folder| {
        let number = text(&folder.join("dev"))?;
        Some((number, folder))
    }));
    let mounts = fs::read_to_string(kernel.proc.join("self/mountinfo")).unwrap_or_default();
    let swaps = fs::read_to_string(kernel.proc.join("swaps")).unwrap_or_default();
    let mut users = Vec::new();
    for (number, folder) in numbers {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // `36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw` (proc_pid_mountinfo(5)).
        for mount in mounts.lines() {
            let mut fields = mount.split(' ').skip(2);
            if fields.next() == Some(&number) {
                let point = fields.nth(1).unwrap_or_default();
                users.push(format!("{name} is mounted at {point}"));
            }
        }
        for swap in swaps.lines().skip(1).filter_map(|line| line.split_whitespace().next()) {
            if fs::metadata(swap).is_ok_and(|swap| numbered(swap.rdev()) == number) {
                users.push(format!("{name} is a swap area"));
            }
        }
        users.extend(
            names(&folder.join("holders")).into_iter().map(|holder| format!("{name} is a part of {holder}")),
        );
    }
    users
}

fn loops_of(path: &Path, kernel: Kernel<'_>) -> Vec<String> {
    let Ok(path) = path.canonicalize() else { return Vec::new() };
    let block = kernel.sys.join("block");
    let backs = |name: &String| {
        text(&block.join(name).join("loop/backing_file")).is_some_and(|file| Path::new(&file) == path)
    };
    names(&block).into_iter().filter(backs).map(|name| format!("it is the file behind {name}")).collect()
}

impl Description {
    pub(super) fn of(device: &Device, kernel: Kernel<'_>) -> Self {
        let path = device.path();
        let mut description = Self {
            path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            size: device.size_bytes(),
            kind: "file",
            model: None,
            serial: None,
            partitions: Vec::new(),
        };
        if let (true, Ok(metadata)) = (device.is_block_device(), fs::metadata(path)) {
            description.read(&folder(metadata.rdev(), kernel));
        }
        description
    }

    fn read(&mut self, folder: &Path) {
        self.kind = if folder.join("partition").exists() { "partition, not a whole disk" } else { "disk" };
        self.model = text(&folder.join("device/model"));
        self.serial = text(&folder.join("device/serial")).or_else(|| text(&folder.join("serial")));
        for folder in partition_folders(folder) {
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let sectors: u64 = text(&folder.join("size")).and_then(|size| size.parse().ok()).unwrap_or(0);
            let uevent = fs::read_to_string(folder.join("uevent")).unwrap_or_default();
            let label = uevent.lines().find_map(|line| line.strip_prefix("PARTNAME=")).map(printable);
            // The kernel counts in 512 bytes, whatever the disk does.
            self.partitions.push((name, sectors.saturating_mul(512), label));
        }
    }
}

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}, {}", self.path.display(), self.kind, BinaryBytes(self.size))?;
        for (name, value) in [("model", &self.model), ("serial", &self.serial)] {
            if let Some(value) = value {
                write!(f, ", {name} {value}")?;
            }
        }
        if self.kind == "disk" && self.partitions.is_empty() {
            write!(f, "\n  no partitions known to the kernel")?;
        }
        for (name, size, label) in &self.partitions {
            write!(f, "\n  {name}: {}", BinaryBytes(*size))?;
            if let Some(label) = label {
                write!(f, ", {label}")?;
            }
        }
        Ok(())
    }
}

/// As sysfs and mountinfo have it.
fn numbered(device: u64) -> String {
    format!("{}:{}", major(device), minor(device))
}

/// The device's folder in sysfs, by its own name.
fn folder(number: u64, kernel: Kernel<'_>) -> PathBuf {
    let link = kernel.sys.join("dev/block").join(numbered(number));
    link.canonicalize().unwrap_or(link)
}

fn partition_folders(disk: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<(u32, PathBuf)> = names(disk)
        .into_iter()
        .filter_map(|name| {
            let folder = disk.join(name);
            Some((text(&folder.join("partition"))?.parse().ok()?, folder))
        })
        .collect();
    folders.sort();
    folders.into_iter().map(|(_, folder)| folder).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

fn text(path: &Path) -> Option<String> {
    let text = printable(fs::read_to_string(path).ok()?.trim());
    (!text.is_empty()).then_some(text)
}

/// Labels come from whoever wrote the disk, and go to a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests;
