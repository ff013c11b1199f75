//! The virtual server: QEMU without KVM, gone when dropped or when the test dies.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::disks::Disk;
use super::monitor::Monitor;
use super::ramdisk::kernel;
use super::shell::{Answer, Shell};

const BOOT: Duration = Duration::from_secs(180);
const COMMAND: Duration = Duration::from_secs(180);
const END: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(50);

/// What starts the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    Bios,
    /// With variables that begin empty and are kept in the guest's folder.
    Uefi,
}

/// A running server.
pub struct Guest {
    server: Process,
    shell: Shell,
    monitor: Monitor,
    console: PathBuf,
}

impl Guest {
    /// Starts it with its disks, and waits until its shell answers. Its files are in `folder`, whose path has to be short
    /// enough for a socket's.
    ///
    /// # Errors
    ///
    /// When it does not come up, with what it printed.
    pub fn boot(folder: &Path, initramfs: &Path, firmware: Firmware, disks: &[Disk]) -> Result<Self> {
        let (kernel, version) = kernel()?;
        let (console, shell, monitor) =
            (folder.join("console"), folder.join("shell"), folder.join("monitor"));
        let mut command = machine(folder, &console, firmware, disks)?;
        command.arg("-chardev").arg(format!("socket,id=shell,path={},server=on,wait=off", shell.display()));
        command.args(["-serial", "chardev:shell"]);
        // It is not started before the shell's connection stands: nothing is to be missed.
        command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", monitor.display())).arg("-S");
        command.arg("-kernel").arg(kernel.join(format!("boot/vmlinuz-{version}")));
        command
            .arg("-initrd")
            .arg(initramfs)
            .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"]);
        let mut server = Process::start(folder, command)?;
        let mut connect = |path: &Path| {
            server
                .connect(path)
                .with_context(|| fs::read_to_string(folder.join("qemu.log")).unwrap_or_default())
        };
        let (shell, monitor) = (Shell::new(connect(&shell)?)?, Monitor::new(connect(&monitor)?)?);
        let mut guest = Self { server, shell, monitor, console };
        guest.monitor.execute("cont", &serde_json::json!({}))?;
        let ready = guest.shell.await_ready(BOOT);
        ready.with_context(|| guest.console())?;
        Ok(guest)
    }

    /// Has the firmware start what it finds on the disks; what was printed until `awaited` was among it.
    ///
    /// # Errors
    ///
    /// When it never is, with what was printed.
    pub fn start_firmware(folder: &Path, console: &Path, disks: &[Disk], awaited: &str) -> Result<String> {
        let mut server = Process::start(folder, machine(folder, console, Firmware::Uefi, disks)?)?;
        let deadline = Instant::now() + BOOT;
        loop {
            let ended = server.0.try_wait()?.is_some();
            let printed = String::from_utf8_lossy(&fs::read(console).unwrap_or_default()).into_owned();
            if printed.contains(awaited) {
                return Ok(printed);
            }
            ensure!(
                !ended && Instant::now() < deadline,
                "'{awaited}' is not among what was printed:\n{printed}"
            );
            std::thread::sleep(LOOK);
        }
    }

    /// Runs shell commands to their end.
    ///
    /// # Errors
    ///
    /// When the guest does not answer in time, with what it printed; never for the exit status.
    pub fn run(&mut self, command: &str) -> Result<Answer> {
        self.shell.run(command, COMMAND).with_context(|| self.console())
    }

    /// The same, and an error for an exit status other than 0; what was printed.
    ///
    /// # Errors
    ///
    /// As [`Self::run`].
    pub fn must(&mut self, command: &str) -> Result<String> {
        let answer = self.run(command)?;
        if answer.code != 0 {
            bail!("{command}: {answer:#?}");
        }
        Ok(answer.stdout)
    }

    pub fn monitor(&mut self) -> &mut Monitor {
        &mut self.monitor
    }

    /// What the kernel printed so far, and what QEMU complained of.
    pub fn console(&self) -> String {
        let read = |path: &Path| fs::read(path).unwrap_or_else(|error| error.to_string().into_bytes());
        let printed = [read(&self.console), read(&self.console.with_file_name("qemu.log"))].concat();
        String::from_utf8_lossy(&printed).into_owned()
    }

    /// Ends it as a power cut would: what the guest was told to be written lies on the disks.
    ///
    /// # Errors
    ///
    /// When QEMU does not obey.
    pub fn end(mut self) -> Result<()> {
        self.monitor.execute("quit", &serde_json::json!({})).with_context(|| self.console())?;
        self.server.await_end()
    }
}

/// A machine with its console, firmware and disks, and nothing else.
fn machine(folder: &Path, console: &Path, firmware: Firmware, disks: &[Disk]) -> Result<Command> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "qemu-system-x86_64"]);
    command.args(["-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"]);
    command.args(["-nodefaults", "-display", "none", "-no-reboot"]);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    if firmware == Firmware::Uefi {
        let variables = folder.join("variables");
        if !variables.exists() {
            fs::copy("/usr/share/OVMF/OVMF_VARS_4M.fd", &variables).context("OVMF: run 'make setup'")?;
        }
        command.args(["-drive", "if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"]);
        command.arg("-drive").arg(format!("if=pflash,format=raw,file={}", variables.display()));
    }
    command.args(["-device", "virtio-scsi-pci,id=scsi"]);
    for disk in disks {
        command.args(disk.arguments()?);
    }
    Ok(command)
}

/// QEMU itself.
struct Process(Child);

impl Process {
    fn start(folder: &Path, mut command: Command) -> Result<Self> {
        let log = fs::File::create(folder.join("qemu.log"))?;
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        Ok(Self(child.context("starting QEMU")?))
    }

    fn connect(&mut self, path: &Path) -> Result<UnixStream> {
        let deadline = Instant::now() + END;
        loop {
            match UnixStream::connect(path) {
                Ok(stream) => return Ok(stream),
                Err(error) if self.0.try_wait()?.is_some() || Instant::now() > deadline => {
                    return Err(error).context("QEMU does not start");
                }
                // It does not listen yet.
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    fn await_end(&mut self) -> Result<()> {
        let deadline = Instant::now() + END;
        while self.0.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "QEMU does not end");
            std::thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait()) {
            eprintln!("guest: ending QEMU: {error}");
        }
    }
}
