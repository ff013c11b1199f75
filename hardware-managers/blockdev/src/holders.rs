use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use crate::error::Error;
use crate::mounts::{mounts, parse_number, swaps};

/// One thing that uses a device, a partition of it, the disk that it is a partition of, or a regular file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// What is used: the device asked for, or its partition or disk.
    pub device: PathBuf,
    pub by: HeldBy,
}

/// How a device is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HeldBy {
    /// Mounted at this place in the caller's mount namespace.
    Mount(PathBuf),
    Swap,
    /// Part of this device-mapper, md or bcache device.
    Device(PathBuf),
    /// Backing file of this loop device.
    Loop(PathBuf),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let device = self.device.display();
        match &self.by {
            HeldBy::Mount(at) => write!(f, "{device} is mounted at {}", at.display()),
            HeldBy::Swap => write!(f, "{device} is used as swap"),
            HeldBy::Device(by) => write!(f, "{device} is part of {}", by.display()),
            HeldBy::Loop(by) => write!(f, "{device} is the backing file of {}", by.display()),
        }
    }
}

/// Who uses a block device or a regular file: mounts, swap, devices built upon it and loop devices, for the device
/// itself, for its partitions, and for the disk that it is a partition of. Sorted, each once.
///
/// This tells a human what is in the way. What prevents harm is [`Access::Exclusive`](crate::Access::Exclusive):
/// mounts of other namespaces are invisible here, and what is found may change at any time.
///
/// # Errors
///
/// [`Error::Open`] when the path or one of the kernel's lists cannot be read, [`Error::NotADevice`].
pub fn holders(path: &Path) -> Result<Vec<Holder>, Error> {
    let metadata = fs::metadata(path).map_err(|source| Error::Open { device: path.to_owned(), source })?;
    let sys = Path::new("/sys");
    let members = if metadata.file_type().is_block_device() {
        family(path, Number::of(metadata.rdev()), sys)?
    } else if metadata.is_file() {
        Vec::new()
    } else {
        return Err(Error::NotADevice { device: path.to_owned() });
    };
    search(&Subject { path, metadata, members }, Path::new("/proc"), sys)
}

/// What is asked about.
struct Subject<'a> {
    path: &'a Path,
    metadata: fs::Metadata,
    /// Empty for a regular file.
    members: Vec<Member>,
}

impl Subject<'_> {
    fn numbered(&self, number: Number) -> Option<&Path> {
        self.members.iter().find(|member| member.number == number).map(|member| member.path.as_path())
    }

    /// Which of the devices (or the file) a path leads to.
    fn at(&self, path: &Path) -> Option<&Path> {
        let other = fs::metadata(path).ok()?;
        if other.file_type().is_block_device() {
            return self.numbered(Number::of(other.rdev()));
        }
        let (mine, same) = (&self.metadata, other.is_file() && self.metadata.is_file());
        (same && (other.dev(), other.ino()) == (mine.dev(), mine.ino())).then_some(self.path)
    }
}

fn search(subject: &Subject<'_>, proc: &Path, sys: &Path) -> Result<Vec<Holder>, Error> {
    let mut found = BTreeSet::new();
    let mut add = |device: &Path, by| found.insert(Holder { device: device.to_owned(), by });
    for mount in mounts(proc)? {
        // btrfs and other file systems of several devices have numbers of their own; their source is a device.
        // The source of a bind mount of a file may be that very file: only devices are mounted.
        let by_source = || subject.at(&mount.source).filter(|_| !subject.members.is_empty());
        let number = Number { major: mount.number.0, minor: mount.number.1 };
        if let Some(device) = subject.numbered(number).or_else(by_source) {
            add(device, HeldBy::Mount(mount.at));
        }
    }
    for swap in swaps(proc)? {
        if let Some(device) = subject.at(&swap) {
            add(device, HeldBy::Swap);
        }
    }
    for member in &subject.members {
        for name in names(&member.folder.join("holders"))? {
            add(&member.path, HeldBy::Device(node(&name)));
        }
    }
    for name in names(&sys.join("block"))? {
        let Ok(backing) = fs::read(sys.join("block").join(&name).join("loop/backing_file")) else { continue };
        if let Some(device) = subject.at(Path::new(OsStr::from_bytes(backing.trim_ascii_end()))) {
            add(device, HeldBy::Loop(node(&name)));
        }
    }
    Ok(found.into_iter().collect())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Number {
    major: u64,
    minor: u64,
}

impl Number {
    fn of(device: u64) -> Self {
        Self { major: major(device), minor: minor(device) }
    }

    /// `8:1`, as sysfs writes it.
    fn parse(text: &[u8]) -> Option<Self> {
        let (major, minor) = parse_number(text)?;
        Some(Self { major, minor })
    }
}

/// A device whose use is a use of the device asked for.
struct Member {
    number: Number,
    path: PathBuf,
    /// Its folder in sysfs.
    folder: PathBuf,
}

/// A device, its partitions, and the disk that it is a partition of.
fn family(path: &Path, number: Number, sys: &Path) -> Result<Vec<Member>, Error> {
    let link = sys.join(format!("dev/block/{}:{}", number.major, number.minor));
    let folder = fs::canonicalize(&link).map_err(|source| Error::Open { device: link, source })?;
    let mut members = vec![Member { number, path: path.to_owned(), folder: folder.clone() }];
    let relative = |folder: PathBuf| {
        let number = Number::parse(&fs::read(folder.join("dev")).ok()?)?;
        Some(Member { number, path: node(folder.file_name()?), folder })
    };
    if folder.join("partition").exists() {
        members.extend(folder.parent().and_then(|disk| relative(disk.to_owned())));
        return Ok(members);
    }
    for name in names(&folder)? {
        let part = folder.join(name);
        if part.join("partition").exists() {
            members.extend(relative(part));
        }
    }
    Ok(members)
}

/// The node of a device that sysfs calls so: `cciss!c0d0` is `/dev/cciss/c0d0`.
fn node(name: &OsStr) -> PathBuf {
    let name = name.as_bytes().iter().map(|&byte| if byte == b'!' { b'/' } else { byte }).collect();
    Path::new("/dev").join(OsString::from_vec(name))
}

/// What a folder of sysfs holds; one that is not there holds nothing.
fn names(folder: &Path) -> Result<Vec<OsString>, Error> {
    let failed = |source| Error::Open { device: folder.to_owned(), source };
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(failed)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// `sda` with two partitions, the second part of `dm-0`; `sdb` with nothing.
    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (folder, number, holder) in [
            ("sda", "8:0", None),
            ("sda/sda1", "8:1", None),
            ("sda/sda2", "8:2", Some("dm-0")),
            ("sdb", "8:16", None),
        ] {
            let at = format!("sys/devices/pci/{folder}");
            write(root.path(), &format!("{at}/dev"), &format!("{number}\n"));
            if folder.contains('/') {
                write(root.path(), &format!("{at}/partition"), "1\n");
            }
            fs::create_dir(root.path().join(&at).join("holders")).unwrap();
            if let Some(holder) = holder {
                write(root.path(), &format!("{at}/holders/{holder}"), "");
            }
            let link = root.path().join(format!("sys/dev/block/{number}"));
            fs::create_dir_all(link.parent().unwrap()).unwrap();
            std::os::unix::fs::symlink(root.path().join(&at), link).unwrap();
        }
        let mounts = "22 1 0:21 / /proc rw,relatime - proc proc rw\n\
                      31 1 8:1 / /mnt/with\\040space rw shared:7 master:3 - ext4 /dev/sda1 rw\n\
                      a line that is none\n";
        write(root.path(), "proc/self/mountinfo", mounts);
        write(root.path(), "proc/swaps", "Filename Type Size Used Priority\n");
        root
    }

    fn ask(root: &Path, name: &str, minor: u64) -> Vec<String> {
        let path = Path::new("/dev").join(name);
        let members = family(&path, Number { major: 8, minor }, &root.join("sys")).unwrap();
        let subject = Subject { path: &path, metadata: fs::metadata("/dev/null").unwrap(), members };
        let found = search(&subject, &root.join("proc"), &root.join("sys")).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_uses_a_part_of_a_disk_uses_the_disk() {
        let root = tree();
        let mounted = "/dev/sda1 is mounted at /mnt/with space";
        let part_of = "/dev/sda2 is part of /dev/dm-0";
        assert_eq!(ask(root.path(), "sda", 0), [mounted, part_of]);
        assert_eq!(ask(root.path(), "sda1", 1), [mounted]);
        assert_eq!(ask(root.path(), "sda2", 2), [part_of]);
        assert_eq!(ask(root.path(), "sdb", 16), [""; 0]);
        // A file system on the whole disk is in the way of a partition of it.
        write(root.path(), "proc/self/mountinfo", "31 1 8:0 / /data rw - xfs /dev/sda rw\n");
        assert_eq!(ask(root.path(), "sda1", 1), ["/dev/sda is mounted at /data"]);
    }

    #[test]
    fn names_of_the_kernel_are_undone() {
        assert_eq!(node(OsStr::new("cciss!c0d0")), Path::new("/dev/cciss/c0d0"));
    }

    #[test]
    fn only_devices_and_files_have_holders() {
        assert!(matches!(holders(Path::new("/dev/null")), Err(Error::NotADevice { .. })));
        assert!(matches!(holders(Path::new("/no/such/disk")), Err(Error::Open { .. })));
        let file = tempfile::NamedTempFile::new().unwrap();
        assert_eq!(holders(file.path()).unwrap(), []);
    }
}
