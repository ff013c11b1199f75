//! The metadata wipe on a kernel that has software RAID, device-mapper, bcache and swap on the disks: a virtual server
//! whose shell builds the stacks, mounts what is on top, and runs the agent's own command line. What is left on the
//! disks is judged outside.

use std::process::Command;

use anyhow::{Result, ensure};
use tacit_tests::guest::{Disk, Firmware, Guest, Ramdisk, find_tool, run};

const MIB: u64 = 1 << 20;
const MODULES: [&str; 4] = ["virtio_blk", "raid1", "dm_mod", "bcache"];
/// Tools that build stacks. The agent needs none of them.
const TOOLS: [&str; 5] = ["mdadm", "dmsetup", "make-bcache", "mkswap", "mke2fs"];

const BUILD: &str = r#"set -e
mdadm --create /dev/md0 --level=1 --raid-devices=2 --metadata=1.2 --assume-clean --run /dev/vda1 /dev/vdb1
mdadm --create /dev/md1 --level=1 --raid-devices=2 --metadata=1.0 --assume-clean --run /dev/vda2 /dev/vdb2
dmsetup create vol --table "0 16384 linear /dev/md0 2048"
dmsetup create both --table "0 8192 linear /dev/md0 32768
8192 8192 linear /dev/md1 0"
dmsetup create top --table "0 16384 linear /dev/mapper/vol 0"
mke2fs -q -F /dev/mapper/top; mkswap /dev/mapper/both; swapon /dev/mapper/both
make-bcache --wipe-bcache -B /dev/vdc -C /dev/vdd
for disk in vdc vdd; do echo /dev/$disk > /sys/fs/bcache/register || true; done # where it was not seen already
for i in $(seq 100); do [ -e /dev/bcache0 ] && break; sleep 0.1; done
mount -t ext4 /dev/mapper/top /mnt"#;

/// What the kernel runs: mapped devices, arrays, caches, swap areas, partitions of the first disk.
const STANDING: &str = r#"echo \
dm=$(ls -d /sys/block/dm-* 2>/dev/null | wc -l) md=$(grep -c ^md /proc/mdstat) \
bcache=$(ls -d /sys/block/bcache* 2>/dev/null | wc -l) swap=$(grep -c ^/dev/ /proc/swaps) \
partitions=$(ls -d /sys/block/vda/vda[0-9] 2>/dev/null | wc -l)"#;
const ALL: &str = "dm=3 md=2 bcache=1 swap=1 partitions=2";
const NONE: &str = "dm=0 md=0 bcache=0 swap=0 partitions=0";

#[test]
fn stacks_are_taken_down_and_wiped() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut ramdisk = Ramdisk::new(folder.path(), &MODULES)?;
    ramdisk.agent()?;
    ramdisk.tools(&TOOLS)?;
    let disks = ["a", "b", "c", "d", "e"].map(|name| Disk::virtio(folder.path(), name, 128 * MIB));
    let disks: Vec<Disk> = disks.into_iter().collect::<Result<_>>()?;
    for disk in &disks[..2] {
        run(Command::new(find_tool("sgdisk")?).args(["-n", "1:2048:+64M", "-n", "2:0:0"]).arg(disk.path()))?;
    }
    // A file system that nobody uses, beside them.
    run(Command::new(find_tool("mke2fs")?).args(["-q", "-F"]).arg(disks[4].path()))?;

    let mut guest = Guest::boot(folder.path(), &ramdisk.pack()?, Firmware::Bios, &disks)?;
    guest.must(BUILD)?;
    let standing = guest.must(STANDING)?;
    ensure!(standing.trim() == ALL, "built: {standing}");

    let wipe = "tacit-agent erase --method metadata --yes";
    let mounted = guest.run(&format!("{wipe} /dev/vda /dev/vdb"))?;
    let named = mounted.stdout.lines().filter(|line| line.contains("/mnt")).count();
    ensure!(mounted.code == 3 && named == 2, "a mounted stack is refused, on both disks: {mounted:#?}");
    let standing = guest.must(STANDING)?;
    ensure!(standing.trim() == ALL, "a refused wipe stopped something: {standing}");

    guest.must("umount /mnt")?;
    let half = guest.run(&format!("{wipe} /dev/vda"))?;
    ensure!(half.code == 3 && half.stdout.contains("/dev/vdb"), "half a mirror is refused: {half:#?}");
    let standing = guest.must(STANDING)?;
    ensure!(standing.trim() == ALL, "a refused wipe stopped something: {standing}");

    let done = guest.run(&format!("{wipe} /dev/vda /dev/vdb /dev/vdc /dev/vdd /dev/vde"))?;
    ensure!(done.code == 0, "{done:#?}\n{}", guest.console());
    let standing = guest.must(STANDING)?;
    ensure!(standing.trim() == NONE, "still there: {standing}");
    guest.must("sync")?;
    guest.end()?;

    for disk in &disks {
        let disk = disk.path();
        let output =
            Command::new(find_tool("wipefs")?).args(["--no-act", "--noheadings"]).arg(disk).output()?;
        ensure!(output.stdout.is_empty(), "{}: {}", disk.display(), String::from_utf8_lossy(&output.stdout));
        for start in [MIB, 65 * MIB] {
            let offset = start.to_string();
            let mut blkid = Command::new(find_tool("blkid")?);
            let status = blkid.args(["--probe", "--offset", &offset]).arg(disk).status()?;
            ensure!(status.code() == Some(2), "something is left at {start} of {}", disk.display());
        }
    }
    Ok(())
}
