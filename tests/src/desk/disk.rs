//! A disk of the kernel's loop driver, gone when dropped.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A loop device on a sparse file.
pub struct LoopDisk {
    device: PathBuf,
    backing: PathBuf,
}

impl LoopDisk {
    /// A disk of `size` bytes, filled with what a former tenant left: an MBR signature and text all over.
    pub fn new(directory: &Path, size: u64) -> Result<Self> {
        let backing = directory.join("disk.raw");
        let mut file = File::create(&backing)?;
        file.set_len(size)?;
        for offset in (0..size).step_by(1 << 20) {
            file.write_all_at(b"left by a former tenant", offset)?;
        }
        file.write_all_at(&[0x55, 0xaa], 510)?;
        file.flush()?;
        Self::attach(backing, &["--direct-io=off"])
    }

    /// The same, and nobody can write to it.
    pub fn read_only(directory: &Path, size: u64) -> Result<Self> {
        Self::attach(Self::new(directory, size)?.backing.clone(), &["--read-only"])
    }

    fn attach(backing: PathBuf, options: &[&str]) -> Result<Self> {
        let output = Command::new("losetup")
            .args(["--find", "--show"])
            .args(options)
            .arg(&backing)
            .output()
            .context("losetup (package mount) does not run")?;
        ensure!(output.status.success(), "losetup: {}", String::from_utf8_lossy(&output.stderr));
        let device = PathBuf::from(String::from_utf8(output.stdout)?.trim());
        Ok(Self { device, backing })
    }

    pub fn device(&self) -> &Path {
        &self.device
    }

    /// Bytes of the disk, past the page cache of the loop device.
    pub fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        File::open(&self.backing)?.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }

    pub fn size(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.backing)?.len())
    }

    /// Whether firmware could find anything to start: an MBR, or either copy of a GPT.
    pub fn is_bootable(&self) -> Result<bool> {
        let head = self.read(0, 1 << 20)?;
        let tail = self.read(self.size()? - (1 << 20), 1 << 20)?;
        let has_gpt = |bytes: &[u8]| bytes.windows(8).any(|window| window == b"EFI PART");
        Ok(head[510..512] == [0x55, 0xaa] || has_gpt(&head) || has_gpt(&tail))
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        if let Err(error) = Command::new("losetup").arg("--detach").arg(&self.device).status() {
            eprintln!("losetup --detach {}: {error}", self.device.display());
        }
    }
}
