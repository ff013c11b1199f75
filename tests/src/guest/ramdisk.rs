//! The guest's ramdisk: busybox, modules, tools with their libraries, and a shell behind a serial port.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// What the kernel needs for any of the guest's devices, where it is a module.
const MODULES: [&str; 2] = ["virtio_pci", "ext4"];

/// Runs one command after the other: a line with its number and the command in Base64 comes in, a line with number,
/// exit status and the lengths of what was printed goes out, and then what was printed. Process 1 does not read: busybox'
/// `read` forgets what it has of a line when a child ends, and every orphan is a child of process 1.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin; export PATH=/bin:/sbin DM_DISABLE_UDEV=1
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; mkdir -p /mnt /run /tmp
mount -t tmpfs t /run
for module in $(cat /lib/order); do insmod "/lib/modules/$module"; done
mount -t efivarfs e /sys/firmware/efi/efivars 2>/dev/null
stty -F /dev/ttyS1 raw -echo
exec 3<>/dev/ttyS1
echo ready >&3
(while read -r number command <&3; do
    echo "$command" | base64 -d > /tmp/command
    sh /tmp/command > /tmp/out 2> /tmp/err < /dev/null 3>&-
    code=$?
    echo "$number $code $(stat -c %s /tmp/out) $(stat -c %s /tmp/err)" >&3
    cat /tmp/out /tmp/err >&3
done) & wait
"#;

/// A ramdisk in the making, in a folder of its own.
pub struct Ramdisk {
    root: PathBuf,
    kernel: PathBuf,
    version: String,
    order: Vec<String>,
}

/// Where `make setup` unpacked the kernel, and its version.
///
/// # Errors
///
/// When it did not.
pub fn kernel() -> Result<(PathBuf, String)> {
    let kernel = workspace::cache().join("kernel/root");
    let mut versions = fs::read_dir(kernel.join("lib/modules")).context("no kernel: run 'make setup'")?;
    let entry = versions.next().context("no kernel: run 'make setup'")??;
    Ok((kernel, entry.file_name().to_string_lossy().into_owned()))
}

/// Where a program of the system is: those of the administrator may not be on the caller's path.
///
/// # Errors
///
/// When it is not installed.
pub fn find_tool(name: &str) -> Result<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
        .with_context(|| format!("the system has no {name}: run 'make setup'"))
}

/// Runs a program to its end; what it printed.
///
/// # Errors
///
/// When it does not succeed, with what it complained of.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(output.stdout)
}

impl Ramdisk {
    /// One with busybox and the modules named, and those they need.
    ///
    /// # Errors
    ///
    /// When `make setup` has not prepared what it takes.
    pub fn new(folder: &Path, modules: &[&str]) -> Result<Self> {
        let (kernel, version) = kernel()?;
        let root = folder.join("ramdisk");
        for part in ["bin", "sbin", "proc", "sys", "dev", "lib/modules"] {
            fs::create_dir_all(root.join(part))?;
        }
        let mut ramdisk = Self { root, kernel, version, order: Vec::new() };
        ramdisk.program(&find_tool("busybox")?, "busybox")?;
        symlink("busybox", ramdisk.root.join("bin/sh"))?;
        fs::write(ramdisk.root.join("init"), INIT)?;
        fs::set_permissions(ramdisk.root.join("init"), fs::Permissions::from_mode(0o755))?;
        for module in MODULES.iter().chain(modules) {
            ramdisk.module(module)?;
        }
        Ok(ramdisk)
    }

    fn module(&mut self, module: &str) -> Result<()> {
        let mut command = Command::new(find_tool("modprobe")?);
        command.arg("-d").arg(&self.kernel).args(["-S", &self.version, "--show-depends", module]);
        for line in String::from_utf8(run(&mut command)?)?.lines() {
            // What is built in has no file.
            let Some(path) = line.strip_prefix("insmod ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            let path = Path::new(path);
            let name = path.file_name().context("a module without a name")?.to_string_lossy();
            let name = name.trim_end_matches(".xz").to_owned();
            if self.order.contains(&name) {
                continue;
            }
            let tool = if path.extension().is_some_and(|kind| kind == "xz") { "xzcat" } else { "cat" };
            let plain = fs::File::create(self.root.join("lib/modules").join(&name))?;
            let status = Command::new(tool).arg(path).stdout(plain).status()?;
            ensure!(status.success(), "cannot unpack {}", path.display());
            self.order.push(name);
        }
        Ok(())
    }

    /// Adds a program, with the libraries that the loader names for it.
    ///
    /// # Errors
    ///
    /// Those of reading and writing files.
    pub fn program(&mut self, path: &Path, name: &str) -> Result<()> {
        fs::copy(path, self.root.join("bin").join(name)).with_context(|| path.display().to_string())?;
        // A static program is none of its business: it says so and fails.
        let output = Command::new("ldd").arg(path).output()?;
        let listed = String::from_utf8_lossy(&output.stdout);
        for word in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            let place = self.root.join(word.trim_start_matches('/'));
            fs::create_dir_all(place.parent().context("a library at the root")?)?;
            fs::copy(word, &place).with_context(|| word.to_owned())?;
        }
        Ok(())
    }

    /// Adds programs of the system.
    ///
    /// # Errors
    ///
    /// When one is not installed.
    pub fn tools(&mut self, names: &[&str]) -> Result<()> {
        names.iter().try_for_each(|name| self.program(&find_tool(name)?, name))
    }

    /// Adds the agent of the ramdisk, or the one that `TACIT_AGENT_BIN` names.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn agent(&mut self) -> Result<()> {
        let path = match std::env::var_os("TACIT_AGENT_BIN") {
            Some(path) => path.into(),
            None => workspace::root().join("target/agent/tacit-agent"),
        };
        self.program(&path, "tacit-agent").context("the agent: run 'make build'")
    }

    /// The finished file.
    ///
    /// # Errors
    ///
    /// Those of `cpio`.
    pub fn pack(self) -> Result<PathBuf> {
        fs::write(self.root.join("lib/order"), self.order.join("\n"))?;
        let pack = "find . | cpio -o -H newc --quiet > ../initramfs";
        run(Command::new("/bin/sh").args(["-c", pack]).current_dir(&self.root))?;
        Ok(self.root.with_file_name("initramfs"))
    }
}
