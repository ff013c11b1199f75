//! `install_boot_entry` on a folder that stands for efivarfs and a disk with a FAT file system (boot contract §G).

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tacit_hardware::{
    BootEntryError, BootEntryOutcome, BootEntryReport, BootEntryRequest, BootOrderPolicy, install_boot_entry,
};

use crate::disk_image::{ESP, LINUX, MIB, get, gpt, guid, mbr, put, sparse};
use crate::tree::{Tree, machine_of};

const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const ESP_GUID: &str = "a04d0f1e-e02f-4725-9434-0699b52d8ff2";
const OTHER_GUID: &str = "b04d0f1e-e02f-4725-9434-0699b52d8ff2";
const ESP_START: u64 = 2048;
const ESP_SECTORS: u64 = 32 * MIB / 512;
const DISK: u64 = 64 * MIB;

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "aa64",
        other => other,
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

struct Machine {
    tree: Tree,
    disk: PathBuf,
}

impl Machine {
    /// UEFI, a GPT disk, and on its ESP the given files.
    fn new(files: &[(&str, &[u8])]) -> Self {
        let tree = Tree::new();
        let disk = tree.path("disk");
        sparse(&disk, DISK);
        gpt(
            &disk,
            DISK / 512,
            &[(LINUX, OTHER_GUID, 100_000, 110_000), (ESP, ESP_GUID, ESP_START, ESP_START + ESP_SECTORS - 1)],
        );
        let machine = Self { tree, disk };
        machine.format(files);
        machine.set("Timeout", &[5, 0]);
        machine
    }

    fn format(&self, files: &[(&str, &[u8])]) {
        let image = self.tree.path("esp");
        fs::remove_file(&image).ok();
        let mut file = sparse(&image, ESP_SECTORS * 512);
        fatfs::format_volume(&mut file, fatfs::FormatVolumeOptions::new()).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        {
            let volume = fatfs::FileSystem::new(&mut file, fatfs::FsOptions::new()).unwrap();
            for (path, content) in files {
                let (folders, name) = path.rsplit_once('/').unwrap();
                let mut folder = volume.root_dir();
                for part in folders.split('/') {
                    folder = folder.create_dir(part).unwrap();
                }
                folder.create_file(name).unwrap().write_all(content).unwrap();
            }
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        put(&self.disk, ESP_START * 512, &bytes);
    }

    fn variable(&self, name: &str) -> PathBuf {
        self.tree.path(&format!("sys/firmware/efi/efivars/{name}-{GLOBAL}"))
    }

    fn set(&self, name: &str, data: &[u8]) {
        let path = self.variable(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, [&[7, 0, 0, 0], data].concat()).unwrap();
    }

    fn data(&self, name: &str) -> Option<Vec<u8>> {
        let bytes = fs::read(self.variable(name)).ok()?;
        assert_eq!(bytes[..4], [7, 0, 0, 0]);
        Some(bytes[4..].to_vec())
    }

    fn install(&self, request: &BootEntryRequest) -> Result<BootEntryReport, BootEntryError> {
        install_boot_entry(&machine_of(&self.tree, &self.disk), &self.disk, request)
    }

    fn default(&self) -> BootEntryReport {
        self.install(&BootEntryRequest::default()).unwrap()
    }
}

/// A load option as the tests' own encoder writes it.
fn entry(partition_guid: &str, path: &str, label: &str, optional: &[u8]) -> Vec<u8> {
    let mut nodes = vec![4, 1, 42, 0, 2, 0, 0, 0];
    nodes.extend(ESP_START.to_le_bytes());
    nodes.extend(ESP_SECTORS.to_le_bytes());
    nodes.extend(guid(partition_guid));
    nodes.extend([2, 2, 4, 4]);
    let name = [utf16(path), vec![0, 0]].concat();
    nodes.extend(u16::try_from(4 + name.len()).unwrap().to_le_bytes());
    nodes.extend(name);
    nodes.extend([0x7f, 0xff, 4, 0]);
    let length = u16::try_from(nodes.len()).unwrap().to_le_bytes();
    [&[1, 0, 0, 0], length.as_slice(), &utf16(label), &[0, 0], &nodes, optional].concat()
}

fn network() -> Vec<u8> {
    [&[1, 0, 0, 0, 4, 0], utf16("PXE").as_slice(), &[0, 0, 0x7f, 0xff, 4, 0]].concat()
}

fn csv_files() -> Vec<(String, Vec<u8>)> {
    let text = format!("shim{a}.efi,Debian GNU/Linux,,comment\r\nother.efi,other\r\n", a = arch());
    vec![
        (format!("EFI/BOOT/BOOT{}.EFI", arch()), b"MZ".to_vec()),
        (format!("EFI/debian/SHIM{}.efi", arch().to_uppercase()), b"MZ".to_vec()),
        (format!("EFI/debian/BOOT{}.CSV", arch().to_uppercase()), [vec![0xff, 0xfe], utf16(&text)].concat()),
    ]
}

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect()
}

#[test]
fn csv_names_loader_and_label_and_other_entries_stay() {
    let machine = Machine::new(&borrowed(&csv_files()));
    machine.set("Boot0000", &network());
    machine.set("Boot0001", &entry(ESP_GUID, "\\EFI\\old.efi", "earlier image", &[]));
    machine.set("Boot0003", &entry(OTHER_GUID, "\\EFI\\win.efi", "Debian GNU/Linux", &[]));
    machine.set("Boot0004", b"no load option");
    machine.set("BootOrder", &[0, 0, 1, 0, 9, 0, 3, 0, 0, 0]);
    let before = get(&machine.disk, 0, usize::try_from(DISK).unwrap());

    let report = machine.default();
    let path = format!("\\EFI\\debian\\SHIM{}.efi", arch().to_uppercase());
    assert_eq!((report.outcome, report.entry.as_deref()), (BootEntryOutcome::Created, Some("Boot0001")));
    assert_eq!((report.loader.as_deref(), report.partition), (Some(path.as_str()), Some(2)));
    assert_eq!(report.label.as_deref(), Some("Debian GNU/Linux"));
    assert_eq!(report.removed, ["Boot0001 earlier image"]);
    assert_eq!(report.order_before, ["0000", "0001", "0009", "0003", "0000"]);
    assert_eq!(report.order_after, ["0001", "0000", "0003"]);
    assert_eq!(report.warnings, [] as [String; 0]);
    let mut expected = entry(ESP_GUID, &path, "Debian GNU/Linux", &[]);
    // The node names the second partition.
    let at = expected.windows(4).position(|four| four == [4, 1, 42, 0]).unwrap();
    expected[at + 4] = 2;
    assert_eq!(machine.data("Boot0001").unwrap(), expected);
    assert_eq!(machine.data("BootOrder").unwrap(), [1, 0, 0, 0, 3, 0]);
    assert_eq!(machine.data("Boot0000").unwrap(), network());
    assert_eq!(machine.data("Boot0004").unwrap(), b"no load option");
    assert!(get(&machine.disk, 0, before.len()) == before, "the disk is only read");

    // A second deployment of the same image changes nothing.
    let report = machine.default();
    assert_eq!((report.outcome, report.removed.len()), (BootEntryOutcome::Reused, 0));
    assert_eq!(report.order_after, ["0001", "0000", "0003"]);
    assert_eq!(machine.data("Boot0001").unwrap(), expected);
}

#[test]
fn entry_can_go_behind_the_one_that_booted_the_ramdisk() {
    let machine = Machine::new(&borrowed(&csv_files()));
    machine.set("Boot0007", &network());
    machine.set("BootOrder", &[7, 0]);
    machine.set("BootCurrent", &[7, 0]);
    let request = BootEntryRequest { order: BootOrderPolicy::AfterCurrent, ..BootEntryRequest::default() };
    assert_eq!(machine.install(&request).unwrap().order_after, ["0007", "0000"]);
}

#[test]
fn digits_of_existing_entries_may_be_lower_case() {
    let machine = Machine::new(&borrowed(&csv_files()));
    machine.set("Boot000a", &entry(ESP_GUID, "\\EFI\\old.efi", "earlier image", &[]));
    machine.set("BootOrder", &[10, 0]);
    assert_eq!(machine.default().removed, ["Boot000A earlier image"]);
    assert!(!machine.variable("Boot000a").exists());
}

#[test]
fn without_csv_known_names_are_looked_for() {
    let a = arch();
    let machine = Machine::new(&[]);
    machine.set("BootOrder", &[]);
    let fallback = format!("EFI/BOOT/BOOT{}.EFI", a.to_uppercase());
    let grub = format!("EFI/fedora/grub{a}.efi");
    for (files, loader, label) in [
        (vec![fallback.as_str(), &grub], format!("\\EFI\\fedora\\grub{a}.efi"), "fedora"),
        (
            vec![&fallback, "EFI/Microsoft/Boot/bootmgfw.efi"],
            "\\EFI\\Microsoft\\Boot\\bootmgfw.efi".to_owned(),
            "Windows Boot Manager",
        ),
        (vec![&fallback], format!("\\EFI\\BOOT\\BOOT{}.EFI", a.to_uppercase()), "mine"),
    ] {
        let files: Vec<(&str, &[u8])> = files.into_iter().map(|path| (path, b"MZ".as_slice())).collect();
        machine.format(&files);
        let request = BootEntryRequest { label: Some("mine".into()), ..BootEntryRequest::default() };
        let report = machine.install(&request).unwrap();
        assert_eq!((report.loader, report.label.as_deref()), (Some(loader), Some(label)));
        // The entry of the image before is gone: there is one number in use.
        assert_eq!(report.order_after, ["0000"]);
    }
}

#[test]
fn csv_cannot_name_files_elsewhere() {
    let text = utf16("..\\BOOT\\evil.efi,Debian\r\n");
    let csv = format!("EFI/debian/BOOT{}.CSV", arch());
    let machine = Machine::new(&[(csv.as_str(), text.as_slice()), ("EFI/BOOT/evil.efi", b"MZ")]);
    let error = machine.install(&BootEntryRequest::default()).unwrap_err();
    assert!(matches!(error, BootEntryError::NoLoader { partition: 2, .. }), "{error}");
    assert_eq!((error.class(), error.retry(), error.touched()), ("InvalidImage", false, false));
    assert!(machine.data("BootOrder").is_none());
}

#[test]
fn firmware_without_variables_needs_the_file_that_it_starts_by_itself() {
    let machine = Machine::new(&borrowed(&csv_files()));
    fs::remove_dir_all(machine.tree.path("sys/firmware/efi/efivars")).unwrap();
    let report = machine.default();
    assert_eq!(report.outcome, BootEntryOutcome::Skipped);
    let reason = report.reason.unwrap();
    assert!(reason.contains("out of reach") && reason.contains("\\EFI\\BOOT\\BOOT"), "{reason}");

    let grub = format!("EFI/fedora/grub{}.efi", arch());
    machine.format(&[(grub.as_str(), b"MZ")]);
    let error = machine.install(&BootEntryRequest::default()).unwrap_err();
    assert!(matches!(error, BootEntryError::NoFallback { .. }), "{error}");
    // With variables it starts, as long as the firmware keeps them.
    machine.set("Timeout", &[5, 0]);
    let report = machine.default();
    assert_eq!((report.outcome, report.warnings.len()), (BootEntryOutcome::Created, 1), "{report:?}");
}

#[test]
fn an_entry_that_cannot_be_read_is_left_as_it_is() {
    let machine = Machine::new(&borrowed(&csv_files()));
    machine.set("Boot0001", &network());
    fs::create_dir(machine.variable("Boot0000")).unwrap();
    machine.set("BootOrder", &[0, 0, 1, 0]);
    assert_eq!(machine.default().order_after, ["0002", "0000", "0001"]);
    assert!(machine.variable("Boot0000").is_dir());
}

#[test]
fn entries_of_partitions_that_no_disk_has_are_removed() {
    let machine = Machine::new(&borrowed(&csv_files()));
    machine.set("Boot0000", &network());
    machine.set("Boot0001", &entry("c04d0f1e-e02f-4725-9434-0699b52d8ff2", "\\EFI\\x.efi", "wiped", &[]));
    machine.set("Boot0002", &entry(OTHER_GUID, "\\EFI\\y.efi", "another system", &[]));
    machine.set("BootOrder", &[0, 0, 1, 0, 2, 0]);
    let (vda, vdb) = (machine.tree.disk("vda", DISK), machine.tree.disk("vdb", DISK));
    fs::copy(&machine.disk, &vda).unwrap();
    let install = || {
        install_boot_entry(&machine.tree.machine(), Path::new("/dev/vda"), &BootEntryRequest::default())
            .unwrap()
    };
    // A disk that cannot be read may have the partition.
    fs::remove_file(&vdb).unwrap();
    assert_eq!(install().removed, [] as [String; 0]);
    sparse(&vdb, DISK);
    let report = install();
    assert_eq!(report.removed, ["Boot0001 wiped"]);
    assert_eq!(report.order_after, ["0003", "0000", "0002"]);
}

#[test]
fn machines_without_uefi_and_disks_without_system_partition() {
    let machine = Machine::new(&borrowed(&csv_files()));
    let reason = |machine: &Machine| {
        let report = machine.default();
        assert_eq!(report.outcome, BootEntryOutcome::Skipped);
        report.reason.unwrap()
    };
    gpt(&machine.disk, DISK / 512, &[(LINUX, OTHER_GUID, 2048, 4096)]);
    let error = machine.install(&BootEntryRequest::default()).unwrap_err();
    assert_eq!((error.class(), error.code()), ("DeviceNotFound", 404));
    // A partition that is named need not have the type.
    let named =
        BootEntryRequest { efi_system_part_uuid: Some(ESP_GUID.into()), ..BootEntryRequest::default() };
    assert!(matches!(machine.install(&named), Err(BootEntryError::NoSystemPartition { .. })));
    gpt(&machine.disk, DISK / 512, &[(LINUX, ESP_GUID, ESP_START, ESP_START + ESP_SECTORS - 1)]);
    assert_eq!(machine.install(&named).unwrap().outcome, BootEntryOutcome::Created);

    sparse(&machine.disk, 0);
    sparse(&machine.disk, DISK);
    assert!(reason(&machine).contains("no partition table"));
    mbr(&machine.disk, 0, &[(0x83, 2048, 2048)]);
    assert!(reason(&machine).contains("MBR"));

    let foreign = install_boot_entry(&machine.tree.machine(), Path::new("/dev/vdz"), &named).unwrap_err();
    assert!(matches!(foreign, BootEntryError::UnknownDisk { .. }));
    fs::remove_dir_all(machine.tree.path("sys/firmware/efi")).unwrap();
    assert!(reason(&machine).contains("UEFI"));
}

#[test]
fn system_partition_of_an_mbr_disk_is_named_by_the_disk_s_signature() {
    let machine = Machine::new(&borrowed(&csv_files()));
    put(&machine.disk, 512, &[0; 512]);
    put(&machine.disk, DISK - 512, &[0; 512]);
    let sectors = u32::try_from(ESP_SECTORS).unwrap();
    mbr(&machine.disk, 0, &[(0xef, u32::try_from(ESP_START).unwrap(), sectors)]);
    assert_eq!(machine.default().outcome, BootEntryOutcome::Created);
    let data = machine.data("Boot0000").unwrap();
    assert!(data.windows(6).any(|bytes| bytes == [0xde, 0xad, 0xbe, 0xef, 0, 0]));
}

#[test]
fn primary_table_that_is_damaged_gives_way_to_the_backup() {
    let machine = Machine::new(&borrowed(&csv_files()));
    put(&machine.disk, 512 + 56, b"damage");
    assert_eq!(machine.default().outcome, BootEntryOutcome::Created);
    put(&machine.disk, DISK - 512 + 56, b"damage");
    assert_eq!(machine.default().outcome, BootEntryOutcome::Skipped);
}

#[test]
fn damaged_file_systems_are_errors_that_name_the_partition() {
    let machine = Machine::new(&borrowed(&csv_files()));
    let start = ESP_START * 512;
    // Field after field of the boot sector at its extremes: an answer, never a panic or an endless loop.
    for offset in 11..40 {
        for value in [0x00, 0xff] {
            let kept = get(&machine.disk, start + offset, 1);
            put(&machine.disk, start + offset, &[value]);
            match machine.install(&BootEntryRequest::default()) {
                Ok(_) => {}
                Err(error) => {
                    // Some of them leave a file system that can be read and is empty.
                    let named = matches!(
                        error,
                        BootEntryError::FileSystem { partition: 2, .. }
                            | BootEntryError::NoLoader { partition: 2, .. }
                    );
                    assert!(named, "{error}")
                }
            }
            put(&machine.disk, start + offset, &kept);
        }
    }
    put(&machine.disk, start, &[0; 512]);
    let error = machine.install(&BootEntryRequest::default()).unwrap_err();
    assert!(error.to_string().contains("number 2"), "{error}");
}

#[test]
fn folder_whose_clusters_form_a_circle_comes_to_an_end() {
    let machine = Machine::new(&[("EFI/x", b"")]);
    let start = ESP_START * 512;
    let boot = get(&machine.disk, start, 512);
    let word = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
    let (sector, per_cluster, reserved, fats) =
        (word(11), u64::from(boot[13]), word(14), u64::from(boot[16]));
    let (root_entries, per_fat) = (word(17), word(22));
    assert!(per_fat > 0, "this is a FAT16 volume");
    let root = (reserved + fats * per_fat) * sector;
    let data = root + root_entries * 32;
    let listing = get(&machine.disk, start + root, 4096);
    let at = listing.windows(11).position(|name| name == b"EFI        ").unwrap();
    let cluster = u16::from_le_bytes([listing[at + 26], listing[at + 27]]);
    // Nothing but deleted entries, and the chain leads back to its own beginning.
    let deleted = [0xe5; 32].repeat(usize::try_from(per_cluster * sector / 32).unwrap());
    put(&machine.disk, start + data + (u64::from(cluster) - 2) * per_cluster * sector, &deleted);
    for fat in 0..fats {
        let entry = start + (reserved + fat * per_fat) * sector + 2 * u64::from(cluster);
        put(&machine.disk, entry, &cluster.to_le_bytes());
    }
    let error = machine.install(&BootEntryRequest::default()).unwrap_err();
    assert!(matches!(error, BootEntryError::FileSystem { partition: 2, .. }), "{error}");
}
