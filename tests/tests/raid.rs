//! Software RAID on a virtual server with the kernel's md driver, the real mdadm and UEFI firmware: arrays of all levels
//! made and removed, what is to be kept, what fails, and a system on an array that the firmware starts from one of its
//! disks alone.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tacit_tests::guest::{Disk, Fault, Firmware, Guest, Ramdisk, find_tool, kernel, run};
use tacit_tests::stages::Stages;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const MODULES: [&str; 7] = ["virtio_blk", "raid0", "raid1", "raid10", "raid456", "efivarfs", "md_mod"];
/// Where the first array's members begin, behind the place for the EFI system partition, in bytes.
const FIRST_MEMBER: u64 = 551 * MIB;
/// On the command line that the firmware hands to the system's kernel.
const MARKER: &str = "tacit.test=started-from-the-array";

struct Server {
    guest: Guest,
}

fn volume(level: &str, size: Value, name: &str) -> Value {
    json!({"controller": "software", "raid_level": level, "size_gb": size, "volume_name": name})
}

fn on(volume: Value, serials: &[&str]) -> Value {
    let mut volume = volume;
    volume["physical_disks"] = serials.iter().map(|serial| json!({ "serial": serial })).collect();
    volume
}

fn node(volumes: &[Value]) -> Value {
    json!({"target_raid_config": {"logical_disks": volumes}})
}

impl Server {
    /// What a step returns, or `Err` with what it says.
    fn step(&mut self, name: &str, node: &Value, args: &Value) -> Result<std::result::Result<Value, String>> {
        let answer = self.guest.run(&format!("guest-step {name} '{node}' '{args}'"))?;
        ensure!(answer.code <= 1, "{name}: {answer:#?}\n{}", self.guest.console());
        let printed = answer.stdout.trim();
        Ok(if answer.code == 0 { Ok(serde_json::from_str(printed)?) } else { Err(printed.to_owned()) })
    }

    fn done(&mut self, name: &str, node: &Value, args: &Value) -> Result<Value> {
        let outcome = self.step(name, node, args)?;
        outcome.map_err(anyhow::Error::msg).with_context(|| format!("{name} {args}"))
    }

    fn refused(&mut self, name: &str, node: &Value, args: &Value) -> Result<String> {
        match self.step(name, node, args)? {
            Ok(result) => anyhow::bail!("{name} {args} succeeded: {result}"),
            Err(details) => Ok(details),
        }
    }

    /// Levels of the arrays that run, in their order.
    fn levels(&mut self) -> Result<Vec<String>> {
        let text = self.guest.must("cat $(ls -d /sys/block/md*/md/level 2>/dev/null) /dev/null")?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// What mdadm still recognises on any disk or partition.
    fn recognised(&mut self) -> Result<String> {
        self.guest.must(
            "for disk in /dev/vd?*; do mdadm --examine $disk 2>/dev/null | grep -q 'Array UUID' && echo $disk; done; true",
        )
    }

    fn nothing_is_left(&mut self) -> Result<()> {
        let (levels, recognised) = (self.levels()?, self.recognised()?);
        ensure!(levels.is_empty() && recognised.is_empty(), "left: {levels:?} {recognised}");
        let partitions = self.guest.must("ls -d /sys/block/vd[a-e]/vd?[0-9] 2>/dev/null; true")?;
        ensure!(partitions.is_empty(), "partitions are left: {partitions}");
        Ok(())
    }
}

fn proofs(result: &Value) -> usize {
    result["proofs"].as_array().map_or(0, Vec::len)
}

#[test]
fn arrays_are_made_kept_removed_and_started_from() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let mut ramdisk = Ramdisk::new(at, &MODULES)?;
    ramdisk.tools(&["mdadm", "mke2fs"])?;
    ramdisk.program(Path::new(env!("CARGO_BIN_EXE_guest-step")), "guest-step")?;
    let mut disks = Vec::new();
    for name in ["R0", "R1", "R2", "R3"] {
        disks.push(Disk::virtio(at, name, 3 * GIB)?);
    }
    // Where the member's superblock is to be.
    let superblock = FIRST_MEMBER / 512 + 8;
    disks.push(
        Disk::virtio(at, "SICK", 3 * GIB)?.failing(&[Fault::Write(superblock), Fault::Zero(superblock)]),
    );
    disks.push(system(at)?.read_only());
    for name in SMALL {
        disks.push(Disk::virtio(at, name, 768 * MIB)?);
    }
    let mut stages = Stages::new("RAID");
    let initramfs = ramdisk.pack()?;
    let guest = stages.run("boot", || Guest::boot(at, &initramfs, Firmware::Uefi, &disks))?;
    let mut server = Server { guest };
    stages.run("levels", || levels(&mut server))?;
    stages.run("an earlier boot", || an_earlier_boot(&mut server))?;
    stages.run("what cannot be", || configurations_that_cannot_be(&mut server))?;
    stages.run("a disk that fails", || a_disk_that_fails(&mut server))?;
    stages.run("a system on an array", || system_on_an_array(&mut server, &disks))?;
    server.guest.must("sync")?;
    server.guest.end()?;

    // The first disk is dead, the firmware knows the second one's entry.
    let console = at.join("second-console");
    let printed = stages
        .run("start from the second disk", || Guest::start_firmware(at, &console, &disks[7..], MARKER))?;
    ensure!(printed.contains(MARKER), "{printed}");
    Ok(())
}

const HEALTHY: [&str; 4] = ["R0", "R1", "R2", "R3"];
/// For the system: what is copied to and fro is their whole size.
const SMALL: [&str; 2] = ["S0", "S1"];

/// The other disks are nobody's business.
fn healthy(mut node: Value) -> Value {
    let others = ["SICK", "SYSTEM", SMALL[0], SMALL[1]].map(|serial| json!({ "serial": serial }));
    node["properties"] = json!({ "skip_block_devices": others });
    node
}

fn levels(server: &mut Server) -> Result<()> {
    let nothing = json!({});
    let both = healthy(node(&[volume("1", json!(1), "root"), volume("5", json!("MAX"), "data")]));
    let made = server.done("create_configuration", &both, &nothing)?;
    ensure!(proofs(&made) == 2, "{made}");
    let found = server.levels()?;
    ensure!(found == ["raid1", "raid5"], "{found:?}");

    server.refused("create_configuration", &both, &nothing).context("disks that are used")?;
    let plan = server.done("delete_configuration", &both, &json!({"dry_run": true}))?;
    ensure!(plan["plan"]["delete"]["disks"].as_array().map(Vec::len) == Some(4), "{plan}");
    ensure!(server.levels()?.len() == 2, "a plan took something away");

    server.guest.must("mke2fs -q -F /dev/md1 && mount -t ext4 /dev/md1 /mnt")?;
    let reason = server.refused("delete_configuration", &both, &nothing)?;
    ensure!(reason.contains("/mnt"), "{reason}");
    ensure!(server.levels()?.len() == 2, "a refused deletion stopped an array");
    server.guest.must("umount /mnt")?;

    let mut kept = both.clone();
    let listed = kept["properties"]["skip_block_devices"].as_array_mut().context("a list")?;
    listed.push(json!({"volume_name": "data"}));
    server.done("delete_configuration", &kept, &nothing)?;
    ensure!(server.levels()?.len() == 2, "a kept array, or its neighbour, is gone");
    let again = server.done("create_configuration", &kept, &nothing)?;
    ensure!(proofs(&again) == 0, "nothing was to be made: {again}");

    server.done("delete_configuration", &both, &nothing)?;
    server.nothing_is_left()?;
    for (level, kernel_name) in [("0", "raid0"), ("6", "raid6"), ("1+0", "raid10")] {
        let volumes = [volume("1", json!(1), "root"), volume(level, json!("MAX"), "data")];
        let args = json!({"raid_config": {"logical_disks": volumes}});
        let made = server.done("apply_configuration", &both, &args)?;
        ensure!(proofs(&made) >= 2, "{level}: {made}");
        let found = server.levels()?;
        ensure!(found == ["raid1", kernel_name], "{level}: {found:?}");
    }
    server.done("delete_configuration", &both, &nothing)?;
    server.nothing_is_left()
}

/// What a machine finds that was shut down: superblocks, and nothing that runs.
fn an_earlier_boot(server: &mut Server) -> Result<()> {
    let nothing = json!({});
    let both = healthy(node(&[volume("1", json!(1), "root"), volume("5", json!("MAX"), "data")]));
    let mut kept = both.clone();
    let listed = kept["properties"]["skip_block_devices"].as_array_mut().context("a list")?;
    listed.push(json!({"volume_name": "data"}));
    server.done("create_configuration", &both, &nothing)?;
    for array in ["md0", "md1"] {
        server.guest.must(&format!("mke2fs -q -F /dev/{array} && sync"))?;
    }
    server.guest.must("for md in /dev/md?; do mdadm --stop $md || exit 1; done")?;
    ensure!(server.levels()?.is_empty(), "the arrays still run");
    let superblocks =
        "for part in /dev/vd[a-d][12]; do dd if=$part bs=4k skip=1 count=2 2>/dev/null; done | md5sum";
    let names = "for md in md0 md1; do dd if=/dev/$md bs=1 skip=1080 count=2 2>/dev/null | xxd -p; done";
    let before = server.guest.must(superblocks)?;

    // A member on a disk that is kept out, or one that would be left out, keeps an array from being started.
    let mut without = both.clone();
    let listed = without["properties"]["skip_block_devices"].as_array_mut().context("a list")?;
    listed.push(json!({"serial": "R3"}));
    server.done("delete_configuration", &without, &nothing)?;
    ensure!(server.levels()?.is_empty(), "an array of a disk that is kept out was started");
    ensure!(server.guest.must(superblocks)? == before, "a superblock of it was written to");

    // Looking at them writes nothing.
    let plan = server.done("erase_devices_metadata", &kept, &json!({"dry_run": true}))?;
    ensure!(plan["plan"].as_array().is_some_and(|plan| plan.len() >= 10), "{plan}");
    let states = server.guest.must("cat /sys/block/md0/md/array_state /sys/block/md1/md/array_state")?;
    ensure!(states.split_whitespace().collect::<Vec<_>>() == ["read-auto", "read-auto"], "{states}");
    ensure!(server.guest.must(superblocks)? == before, "a superblock was written to");
    ensure!(server.guest.must("cat /sys/module/md_mod/parameters/start_ro")?.trim() == "0");

    // The one that is kept keeps its content, by whichever step.
    server.done("erase_devices_metadata", &kept, &nothing)?;
    let told = server.guest.must(names)?;
    ensure!(told.split_whitespace().collect::<Vec<_>>() == ["0000", "53ef"], "{told}");
    let plan = server.done("erase_devices", &kept, &json!({"dry_run": true}))?;
    let verdict = |device: &str| {
        let plans = plan["plan"].as_array().into_iter().flatten();
        plans.filter(|plan| plan["device"] == device).map(|plan| plan["verdict"].clone()).next()
    };
    ensure!(
        verdict("/dev/md1") == Some(json!("skip")) && verdict("/dev/md0") != verdict("/dev/md1"),
        "{plan}"
    );

    server.done("erase_devices_metadata", &both, &nothing)?;
    let told = server.guest.must(names)?;
    ensure!(told.split_whitespace().collect::<Vec<_>>() == ["0000", "0000"], "{told}");
    ensure!(server.levels()? == ["raid1", "raid5"], "arrays of the configuration are gone");
    server.done("delete_configuration", &both, &nothing)?;
    server.nothing_is_left()
}

fn configurations_that_cannot_be(server: &mut Server) -> Result<()> {
    let small = [volume("1", json!(1), "root"), on(volume("5", json!("MAX"), "data"), &HEALTHY[..2])];
    let large = [volume("1", json!(100), "root")];
    let unknown = [on(volume("1", json!(1), "root"), &["R0", "NOBODY"])];
    let second = [volume("5", json!("MAX"), "data")];
    for (volumes, said) in
        [(&small[..], "3 disks"), (&large, "/dev/vda"), (&unknown, "physical_disks"), (&second, "level 1")]
    {
        let reason = server.refused("create_configuration", &healthy(node(volumes)), &json!({}))?;
        ensure!(reason.contains(said), "{reason}");
        server.nothing_is_left().with_context(|| reason)?;
    }
    Ok(())
}

fn a_disk_that_fails(server: &mut Server) -> Result<()> {
    let mut wanted = node(&[on(volume("1", json!(1), "root"), &["R0", "SICK"])]);
    wanted["properties"] = json!({"skip_block_devices": [{"serial": "SYSTEM"}]});
    // What was begun is taken back, so that the second attempt fails for the same reason and no other.
    for _ in 0..2 {
        let reason = server.refused("create_configuration", &wanted, &json!({}))?;
        let place = reason.contains("/dev/vde") && reason.contains("offset 577765376");
        ensure!(place, "neither the sick disk nor the place is named: {reason}");
        server.nothing_is_left().with_context(|| reason)?;
    }
    Ok(())
}

/// An image whose loader is a kernel, which a vendor's list names with its command line.
fn system(folder: &Path) -> Result<Disk> {
    let disk = Disk::virtio(folder, "SYSTEM", 64 * MIB)?;
    let table = ["-n", "1:2048:+48M", "-t", "1:ef00", "-n", "2:0:0"];
    run(Command::new(find_tool("sgdisk")?).args(table).arg(disk.path()))?;
    let list = format!("\u{feff}vmlinuz.efi,Lab,console=ttyS0 panic=-1 no_timer_check {MARKER},A kernel\r\n");
    let list: Vec<u8> = list.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.join("BOOTX64.CSV"), list)?;
    let (root, version) = kernel()?;
    let place = format!("{}@@1M", disk.path().display());
    run(Command::new("mformat").args(["-i", &place, "-T", "98304", "-h", "64", "-s", "32", "-F"]))?;
    run(Command::new("mmd").args(["-i", &place, "::/EFI", "::/EFI/LAB"]))?;
    run(Command::new("mcopy").args(["-i", &place]).arg(folder.join("BOOTX64.CSV")).arg("::/EFI/LAB/"))?;
    let image = root.join(format!("boot/vmlinuz-{version}"));
    run(Command::new("mcopy").args(["-i", &place]).arg(image).arg("::/EFI/LAB/vmlinuz.efi"))?;
    Ok(disk)
}

fn system_on_an_array(server: &mut Server, disks: &[Disk]) -> Result<()> {
    let wanted = node(&[on(volume("1", json!("MAX"), "root"), &SMALL)]);
    server.done("create_configuration", &wanted, &json!({}))?;
    // Two arrays on the same disks: the kernel is not to take an emulator's pace for a busy disk.
    server.guest.must("echo 200000 > /proc/sys/dev/raid/speed_limit_min")?;
    server.guest.must("dd if=/dev/vdf of=/dev/md0 bs=1M conv=fsync")?;
    let report = server.guest.run("guest-step boot-entry /dev/md0")?;
    ensure!(report.code == 0, "{report:#?}\n{}", server.guest.console());
    let report: Value = serde_json::from_str(&report.stdout)?;
    ensure!(report["outcome"] == "created", "{report}");
    // The image has a loader of its own only, and so has each copy.
    let warnings = report["warnings"].as_array().context("warnings")?;
    let expected = |warning: &Value| {
        warning.as_str().is_some_and(|text| text.contains("no file that firmware starts without an entry"))
    };
    ensure!(warnings.iter().all(expected), "{report}");
    ensure!(report["label"] == "Lab (RAID, part0)", "{report}");
    ensure!(report["loader"] == "\\EFI\\LAB\\vmlinuz.efi", "{report}");
    let order: Vec<&str> =
        report["order_after"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    ensure!(order.len() >= 2, "{report}");

    let levels = server.levels()?;
    ensure!(levels == ["raid1", "raid1"], "the copies are no array: {levels:?}");
    let state = server.guest.must("cat /sys/block/md*/md/metadata_version /sys/block/md*/md/degraded")?;
    ensure!(state.split_whitespace().collect::<Vec<_>>() == ["1.2", "1.0", "0", "0"], "{state}");
    let entries = server.guest.must("ls /sys/firmware/efi/efivars | grep -E '^Boot[0-9A-F]{4}-'")?;
    for number in &order[..2] {
        ensure!(entries.contains(&format!("Boot{number}-")), "{number} is not among {entries}");
    }
    let again = server.guest.must("guest-step boot-entry /dev/md0")?;
    let again: Value = serde_json::from_str(&again)?;
    ensure!(again["outcome"] == "reused" && again["order_after"] == report["order_after"], "{again}");

    server.guest.must("sync")?;
    for disk in &disks[6..] {
        let place = format!("{}@@1M", disk.path().display());
        let listed = run(Command::new("mdir").args(["-i", &place, "-b", "-/"]))?;
        let listed = String::from_utf8(listed)?;
        ensure!(listed.contains("EFI/LAB/vmlinuz.efi"), "{}: {listed}", disk.path().display());
        let copied = run(Command::new("mtype").args(["-i", &place, "::/EFI/LAB/vmlinuz.efi"]))?;
        let (root, version) = kernel()?;
        ensure!(
            copied == fs::read(root.join(format!("boot/vmlinuz-{version}")))?,
            "the loader is another one"
        );
    }
    Ok(())
}
