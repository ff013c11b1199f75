//! Faults that the kernel itself reports: a device-mapper target that fails, a loop device whose file system is full.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::formats::*;
use crate::loops::{Loop, absent, run};
use crate::support::*;
use tacit_blockdev::{Access, Device};
use tacit_imaging::{DiskLeft, Failure, FileSource, Verify, WriteRequest, write_image};

fn request(served: &Served, dir: &Path) -> WriteRequest {
    let image = dir.join("image");
    fs::write(&image, &*served.bytes).unwrap();
    served.request(Box::new(FileSource::new(image)))
}

fn content(path: &Path, len: usize) -> Vec<u8> {
    let mut content = vec![0; len];
    Device::open(path, Access::Read).unwrap().read_at(0, &mut content).unwrap();
    content
}

/// A file system in memory, unmounted when dropped.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn new(bytes: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        run(Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(dir.path()));
        Self(dir)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(self.0.path()).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays mounted", self.0.path().display());
    }
}

#[test]
fn a_device_that_runs_full_leaves_nothing_to_boot() {
    let probe = Loop::new(DISK, 512);
    if probe.is_none() {
        return;
    }
    drop(probe);
    for served in FORMATS.iter() {
        // Enough for the kernel's own needs and for less than the image has.
        for room in [300 * KIB, MIB + 300 * KIB] {
            let tmpfs = Tmpfs::new(room);
            let backing = tmpfs.0.path().join("disk");
            fs::File::create(&backing).unwrap().set_len(DISK as u64).unwrap();
            let device = Loop::on(&backing, 512).unwrap();
            let dir = tempfile::tempdir().unwrap();
            let disk = Device::open(&device.path, Access::Exclusive).unwrap();
            let error = write_image(request(served, dir.path()), &disk, &Watch::default()).unwrap_err();
            drop(disk);
            let what = format!("{} with room for {room} bytes: {}", served.name, chain(&error));
            assert!(matches!(error.failure(), Failure::Target { .. }), "{what}");
            assert_eq!((error.disk(), error.closed()), (DiskLeft::NotBootable, true), "{what}");
            assert_closed(&content(&device.path, DISK), 512);
        }
    }
}

/// A device of which some sectors fail, removed when dropped.
struct Mapped(PathBuf);

impl Mapped {
    fn new(name: &str, on: &Path, bad: std::ops::Range<usize>) -> Self {
        let (end, on) = (DISK / 512, on.display());
        let mut table = String::new();
        for (start, end, kind) in [
            (0, bad.start, format!("linear {on} 0")),
            (bad.start, bad.end, "error".to_owned()),
            (bad.end, end, format!("linear {on} {}", bad.end)),
        ] {
            if start < end {
                table.push_str(&format!("{start} {} {kind}\n", end - start));
            }
        }
        run(Command::new("dmsetup").args(["create", "--noudevsync", name, "--table", table.trim_end()]));
        run(Command::new("dmsetup").args(["mknodes", name]));
        Self(Path::new("/dev/mapper").join(name))
    }
}

impl Drop for Mapped {
    fn drop(&mut self) {
        let name = self.0.file_name().unwrap();
        let status = Command::new("dmsetup").args(["remove", "--noudevsync", "--retry"]).arg(name).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays", self.0.display());
    }
}

/// Whether the kernel has the device mapper; it may be a module that nobody asked for yet.
fn has_device_mapper() -> bool {
    let known = || fs::read_to_string("/proc/misc").unwrap().contains("device-mapper");
    if !known() {
        // Without modprobe there are no modules either.
        drop(Command::new("modprobe").arg("dm-mod").output());
    }
    known()
}

#[test]
fn sectors_that_fail_leave_nothing_to_boot() {
    if !has_device_mapper() {
        absent("device mapper (/proc/misc lists none, and modprobe dm-mod changes nothing)");
        return;
    }
    let Some(device) = Loop::new(DISK, 512) else { return };
    let (mib, end) = (MIB / 512, DISK / 512);
    for served in FORMATS.iter() {
        for (index, start) in
            [0, 1, mib - 1, mib, 2 * mib + 77, 3 * mib, end - mib, end - 1].into_iter().enumerate()
        {
            Device::open(&device.path, Access::Exclusive)
                .unwrap()
                .write_at(0, &old_content(DISK, 512))
                .unwrap();
            let name = format!("tacit-test-{}-{index}", std::process::id());
            let mapped = Mapped::new(&name, &device.path, start..start + 1);
            let dir = tempfile::tempdir().unwrap();
            let disk = Device::open(&mapped.0, Access::Exclusive).unwrap();
            let request = WriteRequest { verify: Verify::Full, ..request(served, dir.path()) };
            let result = write_image(request, &disk, &Watch::default());
            drop((disk, mapped));
            let what = format!("{} with sector {start} bad", served.name);
            let error = result.expect_err(&what);
            assert_ne!(error.disk(), DiskLeft::Verified, "{what}");
            let content = content(&device.path, DISK);
            if error.closed() {
                assert_closed(&content, 512);
            } else {
                // The bad sector itself keeps what it had; everything else that could be zeroed is.
                let edges = (0..mib).chain(end - mib..end).filter(|sector| *sector != start);
                let zero = |sector: usize| content[sector * 512..][..512].iter().all(|&byte| byte == 0);
                let left: Vec<_> = edges.filter(|sector| !zero(*sector)).collect();
                assert!(left.is_empty(), "{what}: sectors {left:?} are not zero: {}", chain(&error));
            }
        }
    }
}

#[test]
fn disks_with_large_sectors_are_as_safe() {
    let Some(device) = Loop::new(DISK, 4096) else { return };
    let image = gpt_image(IMAGE, 4096);
    let old = old_content(DISK, 4096);
    let wanted = expected(&image, &old, 4096);
    for packing in PACKINGS {
        let served = pack(&image, packing);
        for forged in [false, true] {
            let disk = Device::open(&device.path, Access::Exclusive).unwrap();
            disk.write_at(0, &old).unwrap();
            let digest = if forged { sha256(b"another image") } else { sha256(&served) };
            let result = write_image(
                crate::support::request(Script::new(served.clone()), digest),
                &disk,
                &Watch::default(),
            );
            drop(disk);
            let found = content(&device.path, DISK);
            assert_eq!(result.is_err(), forged, "{packing:?}");
            if forged { assert_closed(&found, 4096) } else { assert!(found == wanted, "{packing:?}") }
        }
    }
}
