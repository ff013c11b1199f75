//! The agent's own command line on drives as QEMU has them: NVMe, SCSI and virtio, some of which fail, and one that is
//! pulled. What the agent proves is compared with what lies in the backing files.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use tacit_tests::guest::{Disk, Fault, Firmware, Guest, Ramdisk, find_tool, run};
use tacit_tests::stages::Stages;

const MIB: u64 = 1 << 20;
const MODULES: [&str; 7] = ["virtio_blk", "virtio_scsi", "sd_mod", "nvme", "vfat", "nls_cp437", "nls_ascii"];
/// A sector within the first MiB, which a wipe of metadata zeroes, and one that it has no reason to look at.
const EARLY: u64 = 100;
const MIDDLE: u64 = 10 * MIB / 512 + 77;
const DONE: i32 = 0;
const FAILED: i32 = 1;
const REFUSED: i32 = 3;
const PULLED: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

struct Server {
    guest: Guest,
    disks: BTreeMap<&'static str, Disk>,
    /// Device names by serial number.
    names: BTreeMap<String, String>,
    inventory: Value,
}

/// How `tacit-agent erase` ended, and its document.
struct Erasure {
    code: i32,
    document: Value,
}

impl Server {
    fn name(&self, disk: &str) -> Result<String> {
        self.names.get(disk).cloned().with_context(|| format!("no disk {disk} among {:?}", self.names))
    }

    fn disk(&self, disk: &str) -> Result<&Disk> {
        self.disks.get(disk).context("a disk of the test")
    }

    fn erase(&mut self, arguments: &str, disks: &[&str]) -> Result<Erasure> {
        let names: Vec<String> = disks.iter().map(|disk| self.name(disk)).collect::<Result<_>>()?;
        let answer =
            self.guest.run(&format!("tacit-agent erase --json --yes {arguments} {}", names.join(" ")))?;
        let document = serde_json::from_str(&answer.stdout).with_context(|| format!("{answer:#?}"))?;
        Ok(Erasure { code: answer.code, document })
    }

    /// Nothing of what was there is left, wherever one looks.
    fn is_gone(&self, disk: &str) -> Result<()> {
        let left = self.disk(disk)?.left()?;
        ensure!(left.is_empty(), "{disk}: {} sectors are left, first at {}", left.len(), left[0]);
        Ok(())
    }

    fn is_zero(&self, disk: &str, length: u64) -> Result<()> {
        let found = self.disk(disk)?.not_zero(0..length)?;
        ensure!(found.is_empty(), "{disk}: {} sectors are no zeros, first at {}", found.len(), found[0]);
        Ok(())
    }

    fn is_untouched(&self, disk: &str, size: u64) -> Result<()> {
        let left = self.disk(disk)?.left()?.len() as u64;
        ensure!(left == size / 512, "{disk}: only {left} sectors are as they were");
        Ok(())
    }
}

impl Erasure {
    fn ends(self, code: i32) -> Result<Self> {
        ensure!(self.code == code, "exit code {}, not {code}: {:#}", self.code, self.document);
        Ok(self)
    }

    fn says(self, text: &str) -> Result<Self> {
        ensure!(self.document.to_string().contains(text), "'{text}' is not in {:#}", self.document);
        Ok(self)
    }

    /// The devices that are erased and proven beside those that are not.
    fn done(&self) -> Vec<&str> {
        self.document["error"]["done"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// What is said of a device that is not erased.
    fn failed(&self, name: &str) -> Result<&str> {
        let devices = self.document["error"]["devices"].as_array().into_iter().flatten();
        let device = devices.into_iter().find(|device| device["device"] == name);
        device
            .and_then(|device| device["state"].as_str())
            .with_context(|| format!("nothing is said of {name}: {:#}", self.document))
    }

    /// Method and standard of the only proof, which is one.
    fn proves(self, method: &str, standard: &str) -> Result<Self> {
        let proof = &self.document["proofs"][0];
        let has = |key: &str, value: &str| proof[key] == value;
        let is_proof = has("method", method) && has("standard", standard) && has("result", "proven");
        ensure!(is_proof, "not {method}, {standard}: {:#}", self.document);
        let lines = proof["verification"].as_array().map_or(0, Vec::len);
        ensure!(lines > 0, "a proof without a verification: {proof:#}");
        Ok(self)
    }
}

type Check = fn(&mut Server) -> Result<()>;

const CHECKS: [(&str, Check); 10] = [
    ("inventory", identity),
    ("NVMe", nvme),
    ("namespaces", namespaces),
    ("health and firmware", health_and_firmware),
    ("SCSI", scsi),
    ("virtio", virtio),
    ("file systems", file_systems),
    ("faults", faults),
    ("odd disks", odd_disks),
    ("pulled", pulled),
];

#[test]
fn erased_is_what_was_proven() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let mut ramdisk = Ramdisk::new(at, &MODULES)?;
    ramdisk.agent()?;
    ramdisk.tools(&["mke2fs"])?;
    ramdisk.program(Path::new(env!("CARGO_BIN_EXE_guest-step")), "guest-step")?;
    let disks = disks(at)?;
    let list: Vec<Disk> = disks.iter().map(|(_, disk)| disk.clone()).collect();
    let mut stages = Stages::new("drives");
    let initramfs = ramdisk.pack()?;
    let guest = stages.run("boot", || Guest::boot(at, &initramfs, Firmware::Bios, &list))?;
    let mut server =
        Server { guest, disks: disks.into_iter().collect(), names: BTreeMap::new(), inventory: Value::Null };
    read_inventory(&mut server)?;
    for (name, check) in CHECKS {
        stages.run(name, || check(&mut server))?;
    }
    server.guest.end()
}

const SIZE: u64 = 16 * MIB;

/// In the order in which QEMU is told of them.
fn disks(at: &Path) -> Result<Vec<(&'static str, Disk)>> {
    let scsi = |name| Disk::scsi(at, name, SIZE)?.used();
    let virtio = |name| Disk::virtio(at, name, SIZE)?.used();
    Ok(vec![
        ("NVME", Disk::nvme(at, "NVME", 2 * SIZE)?.used()?),
        ("NVME-SICK", Disk::nvme(at, "NVME-SICK", SIZE)?.used()?.failing(&[Fault::Zero(MIDDLE)])),
        ("PAIR1", Disk::namespace(at, "PAIR1", SIZE, "PAIR", 1)?.used()?),
        ("PAIR2", Disk::namespace(at, "PAIR2", SIZE, "PAIR", 2)?.used()?),
        ("THIN", scsi("THIN")?.with("wwn=0x5000c50000000001")),
        ("NATIVE4K", scsi("NATIVE4K")?.with("logical_block_size=4096,physical_block_size=4096")),
        ("READONLY", scsi("READONLY")?.read_only()),
        ("PULLED", Disk::scsi(at, "PULLED", 8 * SIZE)?.used()?.slow(32 << 20)),
        ("DISCARD", partitioned(virtio("DISCARD")?)?),
        ("HEALTHY", virtio("HEALTHY")?),
        (
            "WRITESICK",
            virtio("WRITESICK")?.failing(&[
                Fault::Write(EARLY),
                Fault::Zero(EARLY),
                Fault::Write(MIDDLE),
                Fault::Zero(MIDDLE),
            ]),
        ),
        ("READSICK", virtio("READSICK")?.failing(&[Fault::Read(MIDDLE)])),
        ("MOUNTED", virtio("MOUNTED")?),
        ("SECTOR", Disk::virtio(at, "SECTOR", 512)?.used()?),
        ("EMPTY", Disk::virtio(at, "EMPTY", 0)?),
        ("FAT", formatted(Disk::virtio(at, "FAT", SIZE)?, &[&["mkfs.vfat"]])?),
        ("DAMAGED", damaged(Disk::virtio(at, "DAMAGED", SIZE)?, &at.join("content"))?),
    ])
}

/// Runs programs, the disk's path after their arguments.
fn formatted(disk: Disk, programs: &[&[&str]]) -> Result<Disk> {
    for program in programs {
        run(Command::new(find_tool(program[0])?).args(&program[1..]).arg(disk.path()))?;
    }
    Ok(disk)
}

/// An ext4 that wants the kernel to panic when it finds `/etc` to be nothing that there is.
fn damaged(disk: Disk, content: &Path) -> Result<Disk> {
    std::fs::create_dir_all(content.join("etc"))?;
    let content = content.to_str().context("a path in UTF-8")?;
    let make: &[&str] = &["mke2fs", "-q", "-F", "-t", "ext4", "-e", "panic", "-d", content];
    formatted(disk, &[make, &["debugfs", "-w", "-R", "set_inode_field /etc mode 0"]])
}

fn partitioned(disk: Disk) -> Result<Disk> {
    run(Command::new(find_tool("sgdisk")?).args(["-n", "1:0:0"]).arg(disk.path()))?;
    Ok(disk)
}

fn read_inventory(server: &mut Server) -> Result<()> {
    let text = server.guest.must("tacit-agent inventory")?;
    server.inventory = serde_json::from_str(&text)?;
    for disk in server.inventory["disks"].as_array().context("disks")? {
        let text = |key: &str| disk[key].as_str().unwrap_or_default();
        let (name, mut serial) = (text("name"), text("serial").to_owned());
        // The kernel does not number namespaces as the drive does; their names end with the drive's number.
        if serial == "PAIR" {
            serial.push_str(&text("wwn")[text("wwn").len() - 1..]);
        }
        server.names.insert(serial, name.to_owned());
    }
    // What has no size is no disk, and is named all the same when somebody types it.
    let empty = server.guest.must("grep -l EMPTY /sys/block/vd*/serial")?;
    let name = empty.split('/').nth(3).context("the empty disk")?;
    server.names.insert("EMPTY".to_owned(), format!("/dev/{name}"));
    Ok(())
}

/// What only the drives themselves can have told.
fn identity(server: &mut Server) -> Result<()> {
    let qemu = Command::new("qemu-system-x86_64").arg("--version").output()?;
    let qemu = String::from_utf8(qemu.stdout)?;
    let version = qemu.split_whitespace().nth(3).context("a version of QEMU")?;
    let nvme_name = |serial: &str, number: u32| {
        let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("nvme.1b36-{}-{}-{number:08x}", hex(serial), hex("QEMU NVMe Ctrl"))
    };
    let found = |disk: &str| {
        let name = server.name(disk)?;
        let disks = server.inventory["disks"].as_array().context("disks")?;
        disks.iter().find(|known| known["name"] == name).context("listed")
    };
    for (disk, facts) in [
        (
            "NVME",
            json!({"serial": "NVME", "model": "QEMU NVMe Ctrl", "firmware": version, "tran": "nvme",
            "size": 2 * SIZE, "wwn": nvme_name("NVME", 1), "rotational": false}),
        ),
        ("PAIR2", json!({"serial": "PAIR", "model": "QEMU NVMe Ctrl", "wwn": nvme_name("PAIR", 2)})),
        (
            "THIN",
            json!({"serial": "THIN", "vendor": "QEMU", "model": "QEMU HARDDISK", "provisioning": "thin",
            "wwn": "0x5000c50000000001", "hctl": "0:0:0:0"}),
        ),
        (
            "NATIVE4K",
            json!({"serial": "NATIVE4K", "logical_sectors": 4096, "physical_sectors": 4096, "size": SIZE}),
        ),
        ("READONLY", json!({"read_only": true})),
        ("DISCARD", json!({"serial": "DISCARD", "tran": "virtio", "read_only": false, "size": SIZE})),
    ] {
        let known = found(disk)?;
        for (key, value) in facts.as_object().context("an object")? {
            ensure!(known[key] == *value, "{disk}: {key} is not {value}: {known:#}");
        }
    }
    let empty = server.name("EMPTY")?;
    let disks = server.inventory["disks"].as_array().context("disks")?;
    ensure!(disks.iter().all(|disk| disk["name"] != empty), "what has no size is no disk: {disks:#?}");
    Ok(())
}

fn nvme(server: &mut Server) -> Result<()> {
    // What the drive does not have is refused, and nothing else is done in its place.
    for arguments in ["--method nvme-sanitize-crypto", "--method nvme-format-crypto", "--require purge"] {
        server.erase(arguments, &["NVME"])?.ends(REFUSED)?;
        server.is_untouched("NVME", 2 * SIZE)?;
    }
    server.erase("--method nvme-format-user", &["NVME"])?.ends(DONE)?.proves("nvme-format-user", "clear")?;
    server.is_zero("NVME", 2 * SIZE)?;

    // It fails in the middle of formatting, and is of no use to anybody from then on.
    let failed = server.erase("--fall-back", &["NVME-SICK"])?.ends(FAILED)?;
    failed.says("nvme-format-user: ")?.says("; overwrite: ")?;
    server.erase("--fall-back", &["NVME-SICK"])?.ends(REFUSED)?.says("cannot read")?;
    Ok(())
}

fn namespaces(server: &mut Server) -> Result<()> {
    server.erase("", &["PAIR1"])?.ends(REFUSED)?.says("would also empty")?;
    server.erase("--fall-back", &["PAIR1"])?.ends(DONE)?.proves("overwrite", "clear")?;
    server.is_zero("PAIR1", SIZE)?;
    server.is_untouched("PAIR2", SIZE)?;
    let both = server.erase("", &["PAIR1", "PAIR2"])?.ends(DONE)?.proves("nvme-format-user", "clear")?;
    ensure!(both.document["proofs"].as_array().map(Vec::len) == Some(2), "{:#}", both.document);
    server.is_zero("PAIR2", SIZE)
}

fn health_and_firmware(server: &mut Server) -> Result<()> {
    let dead = server.guest.run("guest-step verify_devices '{}' '{}'")?;
    let empty = server.name("EMPTY")?;
    ensure!(dead.code == 1 && dead.stdout.contains(&empty), "a disk without a size passed: {dead:#?}");
    let node = json!({"properties": {"skip_block_devices": [{"serial": "EMPTY"}]}});
    let health = server.guest.must(&format!("guest-step verify_devices '{node}' '{{}}'"))?;
    let health: Value = serde_json::from_str(&health)?;
    let name = server.name("NVME")?;
    let devices = health["devices"].as_array().context("devices")?;
    let drive = devices.iter().find(|device| device["device"] == name).context("the NVMe drive")?;
    ensure!(drive["health"] == "good", "{drive:#}");
    let log = &drive["nvme"];
    ensure!(log["critical_warning"] == 0 && log["media_errors"] == 0, "{drive:#}");
    ensure!(
        log["temperature_celsius"].as_i64().is_some_and(|celsius| (20..80).contains(&celsius)),
        "{drive:#}"
    );
    let strict = format!("guest-step verify_devices '{node}' '{{\"require_health\": true}}'");
    let strict = server.guest.run(&strict)?;
    let silent = server.name("HEALTHY")?;
    ensure!(
        strict.code == 1 && strict.stdout.contains(&silent),
        "a disk that tells nothing passed: {strict:#?}"
    );

    let image = json!({"url": "file:///image", "checksum": "0".repeat(64), "model": "QEMU NVMe Ctrl", "version": "1"});
    for dry_run in [true, false] {
        let args = json!({"dry_run": dry_run, "images": [image]});
        let firmware = server.guest.run(&format!("guest-step update_firmware '{{}}' '{args}'"))?;
        let told = firmware.stdout.contains("the drive takes no firmware") && firmware.stdout.contains(&name);
        ensure!(firmware.code == i32::from(!dry_run) && told, "{firmware:#?}");
    }
    Ok(())
}

fn scsi(server: &mut Server) -> Result<()> {
    // QEMU's disks have no SANITIZE, and promise nothing of what they unmap.
    for method in ["scsi-sanitize-block", "unmap"] {
        server.erase(&format!("--method {method}"), &["THIN"])?.ends(REFUSED)?;
        server.is_untouched("THIN", SIZE)?;
    }
    for (method, standard) in
        [("unmap-unguaranteed", "none"), ("scsi-write-same", "clear"), ("overwrite", "clear")]
    {
        let erased = server.erase(&format!("--method {method}"), &["THIN"])?;
        erased.ends(DONE).and_then(|erased| erased.proves(method, standard)).context(method)?;
        server.is_zero("THIN", SIZE).context(method)?;
    }
    server.erase("--verify full", &["NATIVE4K"])?.ends(DONE)?.proves("overwrite", "clear")?;
    server.is_zero("NATIVE4K", SIZE)
}

fn virtio(server: &mut Server) -> Result<()> {
    let name = server.name("DISCARD")?;
    let partitions = format!("ls -d /sys/block/{0}/{0}?", name.trim_start_matches("/dev/"));
    ensure!(server.guest.run(&partitions)?.code == 0, "the kernel sees no partition to begin with");
    let discarded = server.erase("--method verified-discard", &["DISCARD"])?.ends(DONE)?;
    discarded.proves("verified-discard", "none")?;
    server.is_zero("DISCARD", SIZE)?;
    ensure!(server.guest.run(&partitions)?.code != 0, "the kernel still shows the partition of before");
    server
        .erase("--method verified-discard --verify full", &["DISCARD"])?
        .ends(DONE)?
        .proves("verified-discard", "clear")?;
    Ok(())
}

/// One disk that fails stops no other; what cannot be written or read is told with its place.
fn faults(server: &mut Server) -> Result<()> {
    let (healthy, write_sick) = (server.name("HEALTHY")?, server.name("WRITESICK")?);
    let read_sick = server.name("READSICK")?;
    let all = ["HEALTHY", "WRITESICK", "READSICK"];

    let wiped = server.erase("--method metadata", &all)?.ends(FAILED)?;
    ensure!(wiped.done() == [&*healthy, &*read_sick], "{:#}", wiped.document);
    let failed = wiped.failed(&write_sick)?;
    ensure!(failed.contains("at offset 0 "), "{failed}");
    server.is_zero("HEALTHY", MIB)?;

    let erased = server.erase("", &all)?.ends(FAILED)?;
    ensure!(erased.done() == [&*healthy], "{:#}", erased.document);
    let failed = erased.failed(&write_sick)?;
    let place = format!("first at offset {}", EARLY * 512);
    ensure!(failed.contains("2 bad ranges, 1024 bytes") && failed.contains(&place), "{failed}");
    let failed = erased.failed(&read_sick)?;
    let place = format!("offset {} cannot be read", MIDDLE * 512 / MIB * MIB);
    ensure!(failed.contains(&place), "{failed}");
    server.is_zero("HEALTHY", SIZE)?;
    // What the agent names is what is left, and nothing else.
    let left = server.disk("WRITESICK")?.left()?;
    ensure!(left == [EARLY * 512, MIDDLE * 512], "{left:?}");

    let accepted =
        server.erase("--accept-bad-sectors", &["WRITESICK"])?.ends(DONE)?.proves("overwrite", "none")?;
    for sector in [EARLY, MIDDLE] {
        let line = format!("NOT erased: 512 bytes at offset {}", sector * 512);
        ensure!(accepted.document.to_string().contains(&line), "{:#}", accepted.document);
    }
    Ok(())
}

/// Files of a tenant's, on a FAT and on what harms a kernel that obeys it.
fn file_systems(server: &mut Server) -> Result<()> {
    let mut inject = |disk: &str, path: &str| {
        let files = json!([{"path": path, "content": "Ym9vdAo=", "partition": server.name(disk)?}]);
        let args = json!({ "files": files });
        server.guest.run(&format!("guest-step inject_files '{{}}' '{args}'"))
    };
    let damaged = inject("DAMAGED", "/etc/file")?;
    ensure!(damaged.code == 1, "a file in a damaged folder: {damaged:#?}");
    let written = inject("FAT", "/loader/entries/boot.conf")?;
    ensure!(written.code == 0 && written.stdout.contains("\"proven\""), "{written:#?}");
    let mut read = Command::new(find_tool("mcopy")?);
    let read =
        run(read.arg("-i").arg(server.disk("FAT")?.path()).args(["::/loader/entries/boot.conf", "-"]))?;
    ensure!(read == b"boot\n", "{read:?}");
    Ok(())
}

fn odd_disks(server: &mut Server) -> Result<()> {
    server.erase("", &["READONLY"])?.ends(REFUSED)?.says("read-only")?;
    let skipped = server.erase("--method metadata", &["READONLY"])?.ends(DONE)?;
    ensure!(skipped.document["proofs"][0]["result"] == "skipped", "{:#}", skipped.document);
    server.is_untouched("READONLY", SIZE)?;

    // No room for a mark: nothing is claimed of it, whatever became of it.
    server.erase("", &["SECTOR"])?.ends(FAILED)?.says("512 bytes")?;
    server.is_untouched("SECTOR", 512)?;
    server.erase("--method metadata", &["SECTOR"])?.ends(DONE)?;
    server.is_zero("SECTOR", 512)?;

    let name = server.name("MOUNTED")?;
    server.guest.must(&format!("mke2fs -q -F {name} && mount -t ext4 {name} /mnt"))?;
    for arguments in ["--method metadata", "--method overwrite", ""] {
        server.erase(arguments, &["EMPTY"])?.ends(REFUSED)?.says("an empty one")?;
        server.erase(arguments, &["MOUNTED"])?.ends(REFUSED)?.says("mounted at /mnt")?;
    }
    server.guest.must(&format!("echo kept > /mnt/file && umount /mnt && mount -t ext4 {name} /mnt"))?;
    ensure!(server.guest.must("cat /mnt/file")? == "kept\n", "the file system was harmed");
    server.guest.must("umount /mnt")?;
    Ok(())
}

/// A disk is pulled in the middle of being overwritten: it fails, and the other one of the step is erased.
fn pulled(server: &mut Server) -> Result<()> {
    let (name, other) = (server.name("PULLED")?, server.name("MOUNTED")?);
    server.guest.must(&format!(
        "(tacit-agent erase --json --yes {name} {other} > /run/pulled; echo $? > /run/code) > /dev/null 2>&1 &"
    ))?;
    let deadline = Instant::now() + PULLED;
    // No place of a mark: it is overwritten when the pass comes to it.
    while !server.disk("PULLED")?.is_changed(3 * SIZE)? {
        ensure!(Instant::now() < deadline, "it is not being overwritten: {}", server.guest.console());
        std::thread::sleep(LOOK);
    }
    server.guest.monitor().pull("PULLED")?;
    let code = loop {
        let code = server.guest.must("cat /run/code 2>/dev/null; true")?;
        if !code.is_empty() {
            break code.trim().parse()?;
        }
        if Instant::now() >= deadline {
            bail!("the agent hangs: {}", server.guest.console());
        }
        std::thread::sleep(LOOK);
    };
    let document = serde_json::from_str(&server.guest.must("cat /run/pulled")?)?;
    let erased = Erasure { code, document }.ends(FAILED)?;
    ensure!(erased.done() == [&*other], "{:#}", erased.document);
    let failed = erased.failed(&name)?;
    ensure!(failed.contains("cannot write") && failed.contains("No such device"), "{failed}");
    server.is_gone("MOUNTED")?;
    Ok(())
}
