use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) const MIB: usize = 1 << 20;

/// A file full of data that stands for a disk.
pub(crate) fn disk(folder: &Path, name: &str, size: usize) -> PathBuf {
    let path = folder.join(name);
    let content: Vec<u8> = (0..size).map(|at| (at * 31 % 255) as u8 + 1).collect();
    fs::write(&path, content).unwrap();
    path
}

pub(crate) fn agent() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacit-agent"));
    command.stdin(Stdio::null());
    command
}

pub(crate) fn call(arguments: &[&str]) -> Output {
    agent().args(arguments).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A loop device, detached when dropped.
pub(crate) struct Loop(pub(crate) PathBuf);

impl Loop {
    /// `None`, and a word about it, without the right to make one.
    pub(crate) fn new(backing: &Path, options: &[&str]) -> Option<Self> {
        if let Err(error) = File::options().read(true).write(true).open("/dev/loop-control") {
            eprintln!("NOT TESTED: this machine has no loop devices (/dev/loop-control: {error})");
            return None;
        }
        let output =
            Command::new("losetup").args(["--find", "--show"]).args(options).arg(backing).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        Some(Self(PathBuf::from(text(&output.stdout).trim())))
    }

    pub(crate) fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let status = Command::new("losetup").arg("--detach").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays", self.0.display());
    }
}

/// A mount, taken away when dropped.
pub(crate) struct Mount(pub(crate) PathBuf);

impl Mount {
    pub(crate) fn new(device: &Path, at: &Path) -> Self {
        let status = Command::new("mount").arg(device).arg(at).status().unwrap();
        assert!(status.success());
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = Command::new("umount").arg(&self.0).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays mounted", self.0.display());
    }
}
