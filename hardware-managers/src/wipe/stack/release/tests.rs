use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use tacit_blockdev::Error;

use super::super::graph::BlockGraph;
use super::super::kernel::Kernel;
use super::{ReleaseError, held, obstacle, release};
use crate::machine::Roots;

/// A kernel of folders: it refuses what the real one refuses, so that a wrong order fails.
struct Played {
    folder: tempfile::TempDir,
    numbers: BTreeMap<(u64, u64), String>,
    log: Mutex<Vec<String>>,
    /// Says that it stops, and does not.
    lies: bool,
}

impl Played {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for part in ["sys/block", "proc/self", "dev"] {
            fs::create_dir_all(folder.path().join(part)).unwrap();
        }
        fs::write(folder.path().join("proc/swaps"), "Filename Type Size Used Priority\n").unwrap();
        fs::write(folder.path().join("proc/self/mountinfo"), "").unwrap();
        Self { folder, numbers: BTreeMap::new(), log: Mutex::default(), lies: false }
    }

    fn roots(&self) -> Roots {
        Roots::below(self.folder.path())
    }

    fn at(&self, name: &str) -> PathBuf {
        let (disk, _) = name.split_once('/').unwrap_or((name, ""));
        self.folder
            .path()
            .join("sys/devices")
            .join(disk)
            .join(name.strip_prefix(disk).unwrap_or("").trim_matches('/'))
    }

    fn put(&self, path: &Path, text: &str) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A disk (`sda`) or a partition (`sda/sda1`).
    fn block(&mut self, name: &str, number: (u64, u64)) -> &mut Self {
        let folder = self.at(name);
        fs::create_dir_all(folder.join("holders")).unwrap();
        fs::create_dir_all(folder.join("slaves")).unwrap();
        self.put(&folder.join("dev"), &format!("{}:{}\n", number.0, number.1));
        if name.contains('/') {
            self.put(&folder.join("partition"), "1\n");
        } else {
            symlink(&folder, self.folder.path().join("sys/block").join(name)).unwrap();
        }
        self.numbers.insert(number, name.to_owned());
        self
    }

    /// Something built upon others.
    fn built(&mut self, name: &str, number: (u64, u64), upon: &[&str]) -> &mut Self {
        self.block(name, number);
        let folder = self.at(name);
        match name {
            _ if name.starts_with("dm-") => {
                self.put(&folder.join("dm/name"), &format!("map{}\n", number.1));
                self.put(&folder.join("dm/uuid"), "LVM-x\n");
            }
            _ if name.starts_with("md") => self.put(&folder.join("md/array_state"), "clean\n"),
            _ => {}
        }
        for below in upon {
            let kernel_name = below.rsplit('/').next().unwrap();
            symlink(self.at(below), folder.join("slaves").join(kernel_name)).unwrap();
            symlink(&folder, self.at(below).join("holders").join(name)).unwrap();
        }
        self
    }

    fn mount(&self, number: &str, at: &str, source: &str) {
        let line = format!("31 1 {number} / {at} rw - ext4 {source} rw\n");
        self.put(&self.folder.path().join("proc/self/mountinfo"), &line);
    }

    fn swap(&self, on: &str) {
        self.put(&self.folder.path().join("proc/swaps"), &format!("Filename Type\n{on} partition 1 0 -2\n"));
    }

    fn say(&self, line: String) {
        self.log.lock().unwrap().push(line);
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.say(format!("stop {name}"));
        let folder = self.at(name);
        let swaps = fs::read_to_string(self.folder.path().join("proc/swaps"))?;
        if fs::read_dir(folder.join("holders"))?.count() > 0 || swaps.contains(&format!("/dev/{name} ")) {
            return Err(io::Error::from_raw_os_error(16));
        }
        if self.lies {
            return Ok(());
        }
        for below in fs::read_dir(folder.join("slaves"))? {
            fs::remove_file(fs::canonicalize(below?.path())?.join("holders").join(name))?;
        }
        fs::remove_file(self.folder.path().join("sys/block").join(name))?;
        fs::remove_dir_all(folder)
    }

    fn release(&self, disk: &str, erased: &[&str]) -> Result<Vec<String>, ReleaseError> {
        release(&self.roots(), self, disk, &|name| erased.contains(&name))
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn busy(device: &Path, source: io::Error) -> Error {
    Error::InUse { device: device.to_owned(), source }
}

impl Kernel for Played {
    fn swap_off(&self, path: &Path) -> Result<(), Error> {
        self.say(format!("swapoff {}", path.file_name().unwrap().to_string_lossy()));
        self.put(&self.folder.path().join("proc/swaps"), "Filename Type\n");
        Ok(())
    }

    fn stop_array(&self, node: &Path) -> Result<(), Error> {
        let name = node.file_name().unwrap().to_string_lossy().into_owned();
        self.remove(&name).map_err(|source| busy(node, source))
    }

    fn remove_mapped_device(&self, number: (u64, u64)) -> Result<(), Error> {
        self.remove(&self.numbers[&number]).map_err(|source| busy(Path::new("control"), source))
    }

    fn write_attribute(&self, path: &Path, value: &str) -> io::Result<()> {
        assert_eq!(value, "1");
        let folder = path.parent().unwrap();
        assert!(folder.ends_with("bcache") || folder.ends_with("set"), "{}", path.display());
        if folder.ends_with("set") {
            // The set goes, and with it what shows that a disk belongs to it.
            self.say("stop the cache set".to_owned());
            return fs::remove_dir_all(folder.parent().unwrap());
        }
        let device = folder.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        if device.starts_with("bcache") {
            return self.remove(&device);
        }
        self.say(format!("detach {device}"));
        fs::remove_dir_all(folder)
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(if self.lies { 50 } else { 5000 })
    }
}

/// Two disks, two arrays over their partitions, a volume on each array and one on both, and a mapping on a volume.
fn servers() -> Played {
    let mut kernel = Played::new();
    for (disk, minor) in [("sda", 0), ("sdb", 16)] {
        kernel.block(disk, (8, minor));
        kernel.block(&format!("{disk}/{disk}1"), (8, minor + 1));
        kernel.block(&format!("{disk}/{disk}2"), (8, minor + 2));
    }
    kernel
        .built("md0", (9, 0), &["sda/sda1", "sdb/sdb1"])
        .built("md1", (9, 1), &["sda/sda2", "sdb/sdb2"])
        .built("dm-0", (253, 0), &["md0"])
        .built("dm-1", (253, 1), &["md0", "md1"])
        .built("dm-2", (253, 2), &["dm-0"])
        .block("sdc", (8, 32));
    kernel
}

#[test]
fn stacks_come_down_from_the_top() {
    let kernel = servers();
    kernel.swap("/dev/dm-2");
    let done = kernel.release("/dev/sda", &["sda", "sdb"]).unwrap();
    let log = kernel.log();
    assert_eq!(log[0], "swapoff dm-2");
    let place =
        |what: &str| log.iter().position(|line| line == what).unwrap_or_else(|| panic!("{what}: {log:?}"));
    assert!(place("stop dm-2") < place("stop dm-0") && place("stop dm-0") < place("stop md0"));
    assert!(place("stop dm-1") < place("stop md0") && place("stop dm-1") < place("stop md1"));
    assert_eq!((log.len(), done.len()), (6, 6), "{log:?} {done:?}");
    assert_eq!(done[0], "swap on /dev/dm-2 ended");
    assert!(done.contains(&"/dev/dm-2 (map2) stopped".to_owned()), "{done:?}");
    // The other disk is free with it.
    assert_eq!(kernel.release("/dev/sdb", &["sda", "sdb"]).unwrap(), [] as [String; 0]);
    assert_eq!(held(&BlockGraph::read(&kernel.roots()), "/dev/sda"), [] as [String; 0]);
}

#[test]
fn what_also_stands_on_a_kept_disk_is_not_stopped() {
    let kernel = servers();
    let error = kernel.release("/dev/sda", &["sda"]).unwrap_err();
    assert!(matches!(&error, ReleaseError::Shared { other, .. } if other == "/dev/sdb"), "{error}");
    assert!(error.is_obstacle());
    assert_eq!(kernel.log(), [] as [String; 0]);
    // A disk beside them has nothing to do with it.
    assert_eq!(kernel.release("/dev/sdc", &["sdc"]).unwrap(), [] as [String; 0]);
}

#[test]
fn mounts_are_named_before_anything_is_stopped() {
    for (number, source) in
        [("253:2", "/dev/mapper/map2"), ("0:55", "/dev/mapper/map2"), ("0:55", "/dev/dm-2")]
    {
        let kernel = servers();
        kernel.swap("/dev/dm-1");
        kernel.mount(number, "/srv/data", source);
        let error = kernel.release("/dev/sda", &["sda", "sdb"]).unwrap_err();
        assert_eq!(error.to_string(), "/dev/dm-2 is mounted at /srv/data");
        assert_eq!(kernel.log(), [] as [String; 0]);
    }
    // A partition of the disk itself, and a mount of something else.
    let kernel = servers();
    kernel.mount("8:1", "/boot", "/dev/sda1");
    let graph = BlockGraph::read(&kernel.roots());
    let all = |_: &str| true;
    assert!(matches!(obstacle(&kernel.roots(), &graph, "/dev/sda", &all), Err(ReleaseError::Mounted { .. })));
    assert!(obstacle(&kernel.roots(), &graph, "/dev/sdc", &all).is_ok());
}

#[test]
fn a_multipath_disk_stands_and_what_is_on_it_falls() {
    let mut kernel = Played::new();
    kernel.block("sda", (8, 0)).block("sdb", (8, 16)).built("dm-0", (253, 0), &["sda", "sdb"]).built(
        "dm-1",
        (253, 1),
        &["dm-0"],
    );
    kernel.release("/dev/dm-0", &["dm-0"]).unwrap();
    assert_eq!(kernel.log(), ["stop dm-1"]);
}

#[test]
fn what_stands_on_several_multipath_disks_falls_when_all_of_them_are_erased() {
    let build = || {
        let mut kernel = Played::new();
        for (path, minor) in ["sda", "sdb", "sdc", "sdd"].into_iter().zip((0..).step_by(16)) {
            kernel.block(path, (8, minor));
        }
        kernel
            .built("dm-0", (253, 0), &["sda", "sdb"])
            .built("dm-1", (253, 1), &["sdc", "sdd"])
            .built("md0", (9, 0), &["dm-0", "dm-1"])
            .built("dm-2", (253, 2), &["md0"]);
        kernel
    };
    for erased in [["dm-0", "dm-1"].as_slice(), &["dm-0", "dm-1", "md0"]] {
        let kernel = build();
        kernel.release("/dev/dm-0", erased).unwrap();
        assert_eq!(kernel.log(), ["stop dm-2", "stop md0"]);
        assert_eq!(kernel.release("/dev/dm-1", erased).unwrap(), [] as [String; 0]);
    }
    // One of the two stays.
    for erased in [["dm-0"].as_slice(), &["dm-0", "md0"]] {
        let kernel = build();
        let error = kernel.release("/dev/dm-0", erased).unwrap_err();
        assert!(
            matches!(&error, ReleaseError::Shared { other, .. } if other.starts_with("/dev/sd")),
            "{error}"
        );
        assert_eq!(kernel.log(), [] as [String; 0]);
    }
}

#[test]
fn caches_are_stopped_with_their_backing_devices() {
    let mut kernel = Played::new();
    kernel.block("sda", (8, 0)).block("nvme0n1", (259, 0)).built("bcache0", (252, 0), &["sda"]);
    kernel.put(&kernel.at("bcache0").join("bcache/stop"), "");
    kernel.put(&kernel.at("sda").join("bcache/stop"), "");
    kernel.put(&kernel.at("nvme0n1").join("bcache/set/stop"), "");
    kernel.release("/dev/sda", &["sda", "nvme0n1"]).unwrap();
    kernel.release("/dev/nvme0n1", &["sda", "nvme0n1"]).unwrap();
    assert_eq!(kernel.log(), ["stop bcache0", "detach sda", "stop the cache set"]);
}

#[test]
fn what_cannot_be_stopped_is_said() {
    let mut kernel = Played::new();
    kernel
        .block("sda", (8, 0))
        .built("drbd0", (147, 0), &["sda"])
        .block("loop0", (7, 0))
        .block("sdb", (8, 16));
    kernel.put(&kernel.at("loop0").join("loop/backing_file"), "/dev/sdb\n");
    let all = ["sda", "sdb"];
    let unknown = kernel.release("/dev/sda", &all).unwrap_err();
    assert!(matches!(&unknown, ReleaseError::UnknownKind { device } if device == "/dev/drbd0"), "{unknown}");
    let backing = kernel.release("/dev/sdb", &all).unwrap_err();
    assert!(matches!(&backing, ReleaseError::Backing { by, .. } if by == "/dev/loop0"), "{backing}");
}

#[test]
fn a_kernel_s_word_is_not_enough() {
    let mut kernel = servers();
    kernel.lies = true;
    let error = kernel.release("/dev/sda", &["sda", "sdb"]).unwrap_err();
    assert!(matches!(error, ReleaseError::Remains { .. }) && !error.is_obstacle(), "{error}");
}

#[test]
fn trees_that_lead_in_circles_end() {
    let mut kernel = Played::new();
    kernel.block("sda", (8, 0)).built("dm-0", (253, 0), &["sda"]).built("dm-1", (253, 1), &["dm-0"]);
    symlink(kernel.at("dm-0"), kernel.at("dm-1").join("holders/dm-0")).unwrap();
    assert_eq!(held(&BlockGraph::read(&kernel.roots()), "/dev/sda").len(), 2);
}
