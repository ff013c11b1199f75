//! Loop devices, where this process may make them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A loop device, detached when dropped.
pub(crate) struct Loop {
    pub(crate) path: PathBuf,
    /// Kept as long as the device.
    backing: Option<tempfile::NamedTempFile>,
}

impl Loop {
    /// `None`, and a word about it, without the right to make one. With the right, not being able to is a failure.
    pub(crate) fn new(len: usize, sector: u32) -> Option<Self> {
        let backing = tempfile::NamedTempFile::new().unwrap();
        backing.as_file().set_len(len as u64).unwrap();
        let mut made = Self::on(backing.path(), sector)?;
        made.backing = Some(backing);
        Some(made)
    }

    /// On a file of someone else's.
    pub(crate) fn on(backing: &Path, sector: u32) -> Option<Self> {
        if let Err(error) = File::options().read(true).write(true).open("/dev/loop-control") {
            absent(&format!("loop devices (/dev/loop-control: {error})"));
            return None;
        }
        let size = sector.to_string();
        let made =
            run(Command::new("losetup").args(["--find", "--show", "--sector-size", &size]).arg(backing));
        Some(Self { path: PathBuf::from(made.trim()), backing: None })
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let status = Command::new("losetup").arg("--detach").arg(&self.path).status();
        assert!(status.is_ok_and(|status| status.success()), "{} stays", self.path.display());
    }
}

/// Says that a test shows nothing on this machine.
pub(crate) fn absent(what: &str) {
    eprintln!("NOT TESTED: this machine has no {what}");
}

/// What a program that must succeed says.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}
