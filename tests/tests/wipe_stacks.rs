//! The metadata wipe on a kernel that has software RAID, device-mapper, bcache and swap on the disks: a virtual server
//! without a network whose first process builds the stacks, mounts what is on top, and runs the agent's own command
//! line. What is left on the disks is judged outside.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tacit_tests::workspace;

const MIB: u64 = 1 << 20;
const DISKS: [&str; 5] = ["vda", "vdb", "vdc", "vdd", "vde"];
const MODULES: [&str; 6] = ["virtio_blk", "raid1", "dm_mod", "bcache", "ext4", "virtio_pci"];
/// Tools that build stacks. The agent needs none of them.
const TOOLS: [&str; 5] = ["mdadm", "dmsetup", "make-bcache", "mkswap", "mke2fs"];

/// Prints lines that begin with a number, so that nothing else on the console is taken for them.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin; export PATH=/bin:/sbin DM_DISABLE_UDEV=1
mount -t proc p /proc; mount -t sysfs s /sys; mount -t devtmpfs d /dev; mkdir -p /mnt /run
say() { echo "TACIT-STACK $*" > /dev/console; }
for m in $(cat /lib/order); do insmod "/lib/modules/$m" 2>/dev/null; done
for i in $(seq 100); do [ -e /dev/vde ] && break; sleep 0.1; done
sectors=$(cat /sys/block/vda/vda1/size)

mdadm --create /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --run /dev/vda1 /dev/vdb1 >/dev/null 2>&1
mdadm --create /dev/md1 --level=1 --raid-devices=2 --metadata=1.0 --assume-clean --run /dev/vda2 /dev/vdb2 >/dev/null 2>&1
dmsetup create vol --table "0 16384 linear /dev/md0 2048"
dmsetup create both --table "0 8192 linear /dev/md0 32768
8192 8192 linear /dev/md1 0"
dmsetup create top --table "0 16384 linear /dev/mapper/vol 0"
mke2fs -q -F /dev/mapper/top; mkswap /dev/mapper/both >/dev/null; swapon /dev/mapper/both
make-bcache --wipe-bcache -B /dev/vdc -C /dev/vdd >/dev/null 2>&1
for disk in vdc vdd; do echo /dev/$disk > /sys/fs/bcache/register; done
for i in $(seq 100); do [ -e /dev/bcache0 ] && break; sleep 0.1; done
say built $(ls /sys/block/vda/vda1/holders; ls /sys/block/vdc/holders) swaps=$(grep -c ^/dev/ /proc/swaps)

wipe() { tacit-agent erase --method metadata --yes "$@" > /out 2>&1; code=$?; sed 's/^/TACIT-OUT /' /out > /dev/console; }
mount -t ext4 /dev/mapper/top /mnt
wipe /dev/vda /dev/vdb; say mounted $code $(grep -c /mnt /out) dm=$(dmsetup ls | wc -l) md=$(grep -c ^md /proc/mdstat)
umount /mnt
wipe /dev/vda; say half $code $(grep -c /dev/vdb /out) dm=$(dmsetup ls | wc -l) md=$(grep -c ^md /proc/mdstat)
wipe /dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde
[ "$(dmsetup ls)" = "No devices found" ] && dm=0 || dm=1
say done $code dm=$dm md=$(grep -c ^md /proc/mdstat) bcache=$(ls -d /sys/block/bcache* 2>/dev/null | wc -l) swaps=$(grep -c ^/dev/ /proc/swaps) parts=$(ls -d /sys/block/vda/vda[0-9] 2>/dev/null | wc -l)
sync; reboot -f
"#;

#[test]
fn stacks_are_taken_down_and_wiped() -> Result<()> {
    if let Some(missing) = missing_tool() {
        eprintln!("passed over: the system has no {missing}");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let initramfs = ramdisk(folder.path())?;
    let disks: Vec<PathBuf> = DISKS.iter().map(|name| folder.path().join(name)).collect();
    for disk in &disks {
        fs::File::create(disk)?.set_len(128 * MIB)?;
    }
    for disk in &disks[..2] {
        run(Command::new("sgdisk").args(["-n", "1:2048:+64M", "-n", "2:0:0"]).arg(disk))?;
    }
    // A file system that nobody uses, beside them.
    run(Command::new("mke2fs").args(["-q", "-F"]).arg(&disks[4]))?;

    let console = boot(folder.path(), &initramfs, &disks)?;
    let lines: Vec<&str> = console
        .lines()
        .filter_map(|line| line.split_once("TACIT-STACK "))
        .map(|(_, text)| text.trim())
        .collect();
    let wanted = [
        "built md0 bcache0 swaps=1",
        // Refused: nothing was stopped, and the mount point is named for both disks.
        "mounted 3 2 dm=3 md=2",
        // Refused: the other half of the mirrors was not to be erased.
        "half 3 1 dm=3 md=2",
        "done 0 dm=0 md=0 bcache=0 swaps=0 parts=0",
    ];
    ensure!(lines == wanted, "{lines:#?}\n\n{console}");
    for disk in &disks {
        let output = Command::new("wipefs").args(["--no-act", "--noheadings"]).arg(disk).output()?;
        ensure!(output.stdout.is_empty(), "{}: {}", disk.display(), String::from_utf8_lossy(&output.stdout));
        for start in [MIB, 65 * MIB] {
            let status =
                Command::new("blkid").args(["--probe", "--offset", &start.to_string()]).arg(disk).status()?;
            ensure!(status.code() == Some(2), "something is left at {start} of {}", disk.display());
        }
    }
    Ok(())
}

fn missing_tool() -> Option<&'static str> {
    TOOLS.iter().chain(&["sgdisk", "cpio", "qemu-system-x86_64"]).find(|tool| find(tool).is_none()).copied()
}

fn find(tool: &str) -> Option<PathBuf> {
    ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(tool))
        .find(|path| path.exists())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The first process, the modules, the tools with their libraries, and the agent.
fn ramdisk(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    for part in ["bin", "sbin", "proc", "sys", "dev", "lib/modules"] {
        fs::create_dir_all(root.join(part))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    symlink("busybox", root.join("bin/sh"))?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    modules(&root)?;
    let agent = match std::env::var_os("TACIT_AGENT_BIN") {
        Some(path) => path.into(),
        None => workspace::root().join("target/agent/tacit-agent"),
    };
    program(&root, &agent, "tacit-agent").context("the agent: run 'make build'")?;
    for tool in TOOLS {
        program(&root, &find(tool).context("looked for before")?, tool)?;
    }
    let initramfs = folder.join("initramfs");
    let pack = "find . | cpio -o -H newc --quiet > ../initramfs";
    run(Command::new("/bin/sh").args(["-c", pack]).current_dir(&root))?;
    Ok(initramfs)
}

fn modules(root: &Path) -> Result<()> {
    let kernel = workspace::cache().join("kernel/root");
    let version = version(&kernel)?;
    let mut order = Vec::new();
    for module in MODULES {
        let output = Command::new(find("modprobe").context("no modprobe")?)
            .arg("-d")
            .arg(&kernel)
            .args(["-S", &version, "--show-depends", module])
            .output()?;
        for line in String::from_utf8(output.stdout)?.lines() {
            // What is built in has no file.
            let Some(path) = line.strip_prefix("insmod ").and_then(|rest| rest.split(' ').next()) else {
                continue;
            };
            let path = Path::new(path);
            let name = path.file_name().context("a module without a name")?.to_string_lossy();
            let name = name.trim_end_matches(".xz").to_owned();
            if order.contains(&name) {
                continue;
            }
            let tool = if path.extension().is_some_and(|kind| kind == "xz") { "xzcat" } else { "cat" };
            let plain = fs::File::create(root.join("lib/modules").join(&name))?;
            ensure!(
                Command::new(tool).arg(path).stdout(plain).status()?.success(),
                "cannot unpack {}",
                path.display()
            );
            order.push(name);
        }
    }
    fs::write(root.join("lib/order"), order.join("\n")).context("writing the order of modules")
}

fn version(kernel: &Path) -> Result<String> {
    let mut versions = fs::read_dir(kernel.join("lib/modules")).context("no kernel: run 'make setup'")?;
    let entry = versions.next().context("no kernel: run 'make setup'")??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}

/// A program, and the libraries that the loader names for it.
fn program(root: &Path, path: &Path, name: &str) -> Result<()> {
    fs::copy(path, root.join("bin").join(name)).with_context(|| path.display().to_string())?;
    let output = Command::new("ldd").arg(path).output()?;
    for word in
        String::from_utf8_lossy(&output.stdout).split_whitespace().filter(|word| word.starts_with('/'))
    {
        let place = root.join(word.trim_start_matches('/'));
        fs::create_dir_all(place.parent().context("a library at the root")?)?;
        fs::copy(word, &place).with_context(|| word.to_owned())?;
    }
    Ok(())
}

/// Runs the virtual server to its end; what it printed.
fn boot(folder: &Path, initramfs: &Path, disks: &[PathBuf]) -> Result<String> {
    let kernel = workspace::cache().join("kernel/root");
    let console = folder.join("console");
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-machine", "q35", "-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", "768", "-nic", "none"]);
    command.args(["-display", "none", "-monitor", "none", "-no-reboot"]);
    command.arg("-serial").arg(format!("file:{}", console.display()));
    command.arg("-kernel").arg(kernel.join(format!("boot/vmlinuz-{}", version(&kernel)?)));
    command.arg("-initrd").arg(initramfs).args(["-append", "console=ttyS0 quiet panic=-1"]);
    for disk in disks {
        command.arg("-drive").arg(format!("file={},format=raw,if=virtio,cache=unsafe", disk.display()));
    }
    let mut server = command.stdin(Stdio::null()).spawn().context("starting QEMU")?;
    let deadline = Instant::now() + Duration::from_secs(180);
    let ended = loop {
        if server.try_wait()?.is_some() {
            break true;
        }
        if Instant::now() >= deadline {
            server.kill()?;
            server.wait()?;
            break false;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let printed = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    ensure!(ended, "the virtual server did not come to its end:\n{printed}");
    Ok(printed)
}
