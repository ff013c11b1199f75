//! `kill -9` of the writing process: what it was writing to never boots anything that was not verified.

use std::env;
use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::formats::*;
use crate::loops::Loop;
use crate::support::*;
use tacit_blockdev::{Access, Device};
use tacit_imaging::{Bmap, FileSource, Target, TargetError, WriteRequest, write_image};

/// What the other process is told: the disk, the image, its map, whether a digest vouches for it, when to die.
const TASK: &str = "TACIT_TEST_KILL";
const NEVER: u64 = u64::MAX;
/// On standard output for each operation; nobody else writes it there.
const TICK: u8 = 1;

/// A disk whose process dies once so many bytes were written or zeroed, in the midst of an operation.
struct Deadly {
    disk: Device,
    done: AtomicU64,
    at: u64,
    /// Says so for each operation.
    tells: bool,
}

impl Deadly {
    fn new(disk: &Path, at: u64, tells: bool) -> Self {
        let disk = Device::open(disk, Access::Exclusive).unwrap();
        Self { disk, done: AtomicU64::new(0), at, tells }
    }

    /// Counts an operation. How much of it is done before this process ends, if it ends now.
    fn count(&self, len: u64) -> Option<u64> {
        if self.tells {
            std::io::stdout().write_all(&[TICK]).unwrap();
            std::io::stdout().flush().unwrap();
        }
        let before = self.done.fetch_add(len, Ordering::SeqCst);
        self.at.checked_sub(before).filter(|left| *left < len)
    }
}

fn die() -> ! {
    kill(Pid::this(), Signal::SIGKILL).unwrap();
    unreachable!("nobody survives this signal")
}

impl Target for Deadly {
    fn describe(&self) -> String {
        "/dev/deadly".into()
    }

    fn size_bytes(&self) -> u64 {
        self.disk.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.disk.logical_sector()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        Target::read_at(&self.disk, offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        if let Some(part) = self.count(buf.len() as u64) {
            Target::write_at(&self.disk, offset, &buf[..part as usize])?;
            die();
        }
        Target::write_at(&self.disk, offset, buf)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        if let Some(part) = self.count(len) {
            Target::zero(&self.disk, offset, part)?;
            die();
        }
        Target::zero(&self.disk, offset, len)
    }

    fn deallocate(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        if let Some(part) = self.count(len) {
            Target::deallocate(&self.disk, offset, part)?;
            die();
        }
        Target::deallocate(&self.disk, offset, len)
    }

    fn flush(&self) -> Result<(), TargetError> {
        Target::flush(&self.disk)
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Ok(())
    }
}

/// Not a test of its own: what the other process does.
#[test]
fn other_process() {
    let Ok(task) = env::var(TASK) else { return };
    let [disk, image, map, digest, at, tells] = task.split('\n').collect::<Vec<_>>().try_into().unwrap();
    let mut request =
        WriteRequest { retry: quick(), ..WriteRequest::new(vec![Box::new(FileSource::new(image))]) };
    if !map.is_empty() {
        request.bmap = Some(Bmap::parse(&fs::read(map).unwrap()).unwrap());
    }
    if digest == "true" {
        request.digests.push(sha256(&fs::read(image).unwrap()));
    }
    let disk = Deadly::new(disk.as_ref(), at.parse().unwrap(), tells == "true");
    write_image(request, &disk, &Watch::default()).unwrap();
}

/// An image and its map in files.
struct Stored {
    dir: tempfile::TempDir,
    served: &'static Served,
}

impl Stored {
    fn new(served: &'static Served) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("image"), &*served.bytes).unwrap();
        if let Some(map) = &served.map {
            fs::write(dir.path().join("map"), map.to_string()).unwrap();
        }
        Self { dir, served }
    }

    fn start(&self, disk: &Path, at: u64, tells: bool) -> Child {
        let map = self.served.map.as_ref().map(|_| self.dir.path().join("map")).unwrap_or_default();
        let image = self.dir.path().join("image");
        let digest = !self.served.digests.is_empty();
        let task = [
            disk.to_str().unwrap(),
            image.to_str().unwrap(),
            map.to_str().unwrap(),
            &digest.to_string(),
            &at.to_string(),
            &tells.to_string(),
        ];
        Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::other_process", "--nocapture", "--test-threads=1"])
            .env(TASK, task.join("\n"))
            .stdin(Stdio::null())
            .stdout(if tells { Stdio::piped() } else { Stdio::null() })
            .spawn()
            .unwrap()
    }

    /// Bytes that are written or zeroed from the first to the last operation.
    fn whole(&self) -> u64 {
        let disk = tempfile::NamedTempFile::new().unwrap();
        disk.as_file().set_len(DISK as u64).unwrap();
        let deadly = Deadly::new(disk.path(), NEVER, false);
        let source = Box::new(FileSource::new(self.dir.path().join("image")));
        write_image(self.served.request(source), &deadly, &Watch::default()).unwrap();
        deadly.done.into_inner()
    }
}

/// What must hold of a disk, however its writer ended: whole; or with what was there before, but for zeros; or with
/// nothing that boots; or verified, and whole but for the blocks that make a table valid.
fn judge(what: &str, status: ExitStatus, disk: &Path) {
    let content = fs::read(disk).unwrap();
    if status.success() {
        assert!(content == *EXPECTED, "{what}: success, and another content");
        return;
    }
    assert_eq!(status.signal(), Some(9), "{what}");
    let old = old_content(DISK, 512);
    let untouched = content.iter().zip(&old).all(|(now, old)| now == old || *now == 0);
    // What makes a table valid comes last: the last block, then the first ones.
    let complete = content[4096..DISK - 512] == EXPECTED[4096..DISK - 512];
    let header = content.chunks(512).any(|block| block.starts_with(EFI_PART));
    assert!(untouched || complete || !(header || is_bootable(&content, 512)), "{what}");
}

fn prepare(disk: &Path) {
    fs::write(disk, old_content(DISK, 512)).unwrap();
}

#[test]
fn a_process_that_dies_at_any_byte_leaves_nothing_unverified_to_boot() {
    const MOMENTS: u64 = 6;
    let (mut died, formats) = (0, FORMATS.len() as u64);
    for (index, served) in (0..).zip(FORMATS.iter()) {
        let stored = Stored::new(served);
        let whole = stored.whole();
        let disk = stored.dir.path().join("disk");
        for moment in 0..MOMENTS {
            // Other moments for each format; the last one of the last format is behind the end.
            let at = whole * (moment * formats + index + 1) / (MOMENTS * formats);
            prepare(&disk);
            let status = stored.start(&disk, at, false).wait().unwrap();
            let what = format!("{} killed at byte {at} of {whole}", served.name);
            judge(&what, status, &disk);
            assert_eq!(status.success(), at >= whole, "{what}: {status}");
            died += u64::from(!status.success());
        }
    }
    assert_eq!(died, MOMENTS * formats - 1);
}

#[test]
fn a_process_that_is_killed_from_outside_leaves_nothing_unverified_to_boot() {
    for (index, served) in FORMATS.iter().enumerate() {
        let stored = Stored::new(served);
        let disk = stored.dir.path().join("disk");
        for operations in [1, 2 + index % 7, 9] {
            prepare(&disk);
            let mut child = stored.start(&disk, NEVER, true);
            let mut told = BufReader::new(child.stdout.take().unwrap()).bytes();
            // The harness speaks on the same stream.
            let ticks = told.by_ref().filter(|byte| *byte.as_ref().unwrap() == TICK);
            let begun = ticks.take(operations).count();
            assert_eq!(begun, operations, "{}: it has fewer operations", served.name);
            child.kill().unwrap();
            let status = child.wait().unwrap();
            judge(&format!("{} killed after {begun} operations", served.name), status, &disk);
        }
    }
}

#[test]
fn a_process_that_dies_leaves_a_device_that_boots_nothing_unverified() {
    let Some(device) = Loop::new(DISK, 512) else { return };
    for (index, served) in (0..).zip(FORMATS.iter()) {
        let stored = Stored::new(served);
        let at = stored.whole() * (index + 1) / (FORMATS.len() as u64 + 1);
        Device::open(&device.path, Access::Exclusive).unwrap().write_at(0, &old_content(DISK, 512)).unwrap();
        let status = stored.start(&device.path, at, false).wait().unwrap();
        assert!(!status.success());
        judge(&format!("{} killed at byte {at}", served.name), status, &device.path);
    }
}
