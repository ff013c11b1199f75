//! The step `erase_devices_metadata`, from the manager down to the bytes.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use serde_json::{Map, Value, json};
use tacit_hardware::{
    GenericHardwareManager, HardwareManager, Machine, StepContext, StepError, StepObserver,
};
use tacit_model::{DevicePlan, EraseStandard, PlanVerdict, ProgressUnit, Proof, ProofResult};

use crate::disk_image::{
    ESP, LINUX, MIB, assert_unrecognised, get, gpt, mbr, put, run, seen_by_wipefs, sparse,
};
use crate::tree::{Tree, machine_of};

const GUIDS: [&str; 2] = ["a04d0f1e-e02f-4725-9434-0699b52d8ff2", "b04d0f1e-e02f-4725-9434-0699b52d8ff2"];

/// Says "stop" once the given number of a disk's regions is done.
#[derive(Default)]
pub(crate) struct Observer {
    stop_after: Option<u64>,
    seen: Mutex<Vec<(String, u64, u64)>>,
}

impl StepObserver for Observer {
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, unit: ProgressUnit) {
        assert_eq!((stage, unit), ("wipe", ProgressUnit::Regions));
        self.seen.lock().unwrap().push((device.to_owned(), done, total));
    }

    fn cancelled(&self) -> bool {
        let done = self.seen.lock().unwrap().iter().map(|(_, done, _)| *done).max().unwrap_or_default();
        self.stop_after.is_some_and(|limit| done >= limit)
    }
}

fn erase_observed(machine: &Machine, node: &Value, observer: &Observer) -> Result<Vec<Proof>, StepError> {
    let manager = GenericHardwareManager::new(machine.clone());
    let (ports, args) = (json!([]), Map::new());
    let context = StepContext { node, ports: &ports, args: &args, observer };
    let mut result = manager.run_step("erase_devices_metadata", &context)?;
    Ok(serde_json::from_value(result["proofs"].take()).unwrap())
}

fn erase(machine: &Machine, node: &Value) -> Result<Vec<Proof>, StepError> {
    erase_observed(machine, node, &Observer::default())
}

/// Wipes a file that is the only disk and returns its proof.
fn wipe(disk: &Path) -> Proof {
    let mut proofs = erase(&machine_of(&Tree::new(), disk), &json!({})).unwrap();
    assert_eq!(proofs.len(), 1);
    let proof = proofs.remove(0);
    assert_eq!((proof.result, proof.standard), (ProofResult::Proven, EraseStandard::None));
    assert_eq!((proof.method.as_str(), proof.device.as_str()), ("metadata-wipe", disk.to_str().unwrap()));
    assert!(!proof.verification.is_empty());
    proof
}

fn found(proof: &Proof, what: &str) -> bool {
    proof.actions.iter().any(|action| action.contains(what))
}

#[test]
fn file_systems_of_the_system_s_own_tools_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let file = disk.to_str().unwrap();
    for (tool, arguments, name) in [
        ("mkfs.ext4", vec!["-q", "-F", file], "ext2/3/4"),
        ("mkfs.xfs", vec!["-q", "-f", file], "XFS"),
        ("mkfs.btrfs", vec!["-q", "-f", file], "Btrfs"),
        ("mkfs.vfat", vec!["-F", "32", file], "FAT32"),
        ("mkswap", vec!["-q", file], "swap"),
        ("sgdisk", vec!["-n", "1:2048:+8M", file], "GPT"),
    ] {
        // XFS wants 300 MiB, Btrfs 109; the files are sparse.
        fs::remove_file(&disk).ok();
        sparse(&disk, 400 * MIB);
        run(tool, &arguments);
        assert!(!seen_by_wipefs(&disk).is_empty(), "{tool} left nothing to find");
        let proof = wipe(&disk);
        assert!(found(&proof, name), "{tool}: {:?}", proof.actions);
        assert_unrecognised(&disk, &[]);
    }
}

#[test]
fn partitions_are_wiped_before_the_disk_without_the_kernel_s_help() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, part) = (folder.path().join("disk"), folder.path().join("part"));
    let sectors = 96 * MIB / 512;
    sparse(&disk, 96 * MIB);
    gpt(&disk, sectors, &[(ESP, GUIDS[0], 2048, 67583), (LINUX, GUIDS[1], 67584, sectors - 34)]);
    sparse(&part, 32 * MIB);
    run("mkfs.ext4", &["-q", "-F", part.to_str().unwrap()]);
    put(&disk, MIB, &fs::read(&part).unwrap());
    let second = 67584 * 512;
    put(&disk, second + 4096, &[0xfc, 0x4e, 0x2b, 0xa9]);
    put(&disk, second + 4 * MIB, b"SKUL\xba\xbe");
    // Data of the tenant in the middle of the partition is not metadata.
    put(&disk, second + 10 * MIB, b"tenant data");

    let proof = wipe(&disk);
    assert!(found(&proof, &format!("partition 1: ext2/3/4 found at offset {}", MIB + 0x438)));
    assert!(found(&proof, &format!("partition 2: md RAID found at offset {}", second + 4096)));
    assert!(found(&proof, &format!("partition 2: LUKS2 second header found at offset {}", second + 4 * MIB)));
    let first = |what: &str| proof.actions.iter().position(|action| action.starts_with(what)).unwrap();
    assert!(first("partition 1") < first("disk") && first("partition 2") < first("disk"));
    assert_unrecognised(&disk, &[(MIB, 32 * MIB), (second, 96 * MIB - second)]);
    assert_eq!(get(&disk, second + 10 * MIB, 11), b"tenant data");
    assert_eq!(get(&disk, 0, 1024), [0; 1024]);
}

#[test]
fn backup_table_is_found_where_the_primary_says() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    sparse(&disk, 64 * MIB);
    // An image of 20 MiB on a larger disk, and the leftover of a table for the whole disk.
    gpt(&disk, 64 * MIB / 512, &[]);
    gpt(&disk, 20 * MIB / 512, &[(LINUX, GUIDS[0], 2048, 8191)]);
    let backup = 20 * MIB - 512;
    assert!(get(&disk, backup, 8) == b"EFI PART" && get(&disk, 64 * MIB - 512, 8) == b"EFI PART");
    let proof = wipe(&disk);
    assert_eq!(get(&disk, backup, 512), [0; 512]);
    assert_eq!(get(&disk, 64 * MIB - 512, 512), [0; 512]);
    assert!(
        proof
            .verification
            .iter()
            .any(|line| *line == format!("GPT header at offset {backup} reads back as zeros"))
    );
}

#[test]
fn logical_partitions_are_followed_even_in_a_circle() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    sparse(&disk, 64 * MIB);
    mbr(&disk, 0, &[(0x83, 2048, 20480), (0x05, 40960, 81920)]);
    mbr(&disk, 40960, &[(0x83, 2048, 20480), (0x05, 30720, 40960)]);
    // The second record's chain leads back to the first.
    mbr(&disk, 40960 + 30720, &[(0x82, 2048, 20480), (0x05, 0, 40960)]);
    let (five, six) = ((40960 + 2048) * 512, (40960 + 30720 + 2048) * 512);
    put(&disk, five, b"XFSB");
    put(&disk, six + 4086, b"SWAPSPACE2");
    let proof = wipe(&disk);
    assert!(found(&proof, &format!("partition 5: XFS found at offset {five}")));
    assert!(found(&proof, &format!("partition 6: swap found at offset {}", six + 4086)));
    assert_eq!(get(&disk, 40960 * 512, 512), [0; 512]);
    assert_eq!(get(&disk, (40960 + 30720) * 512, 512), [0; 512]);
    assert_unrecognised(&disk, &[(five, 20480 * 512), (six, 20480 * 512)]);
}

#[test]
fn absurd_tables_are_wiped_like_others() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    for (at, value) in
        [(72, u64::MAX), (72, 3), (32, u64::MAX), (32, 1), (80, u64::MAX), (80, 0x80_0000_0080), (84, 1)]
    {
        sparse(&disk, 8 * MIB);
        gpt(
            &disk,
            8 * MIB / 512,
            &[(LINUX, GUIDS[0], 40, u64::MAX), (LINUX, GUIDS[1], 9000, 100), (ESP, GUIDS[1], 0, 0)],
        );
        put(&disk, 512 + at, &value.to_le_bytes());
        wipe(&disk);
        assert_unrecognised(&disk, &[]);
    }
}

#[test]
fn disks_smaller_than_the_edges_are_wiped_whole() {
    let folder = tempfile::tempdir().unwrap();
    for size in [1, 511, 512, 4096, 65536, MIB + 1] {
        let disk = folder.path().join(size.to_string());
        fs::write(&disk, vec![0xef; usize::try_from(size).unwrap()]).unwrap();
        wipe(&disk);
        assert!(fs::read(&disk).unwrap().iter().all(|byte| *byte == 0), "{size}");
    }
}

#[test]
fn shared_file_systems_stop_everything_before_anything_is_written() {
    let tree = Tree::new();
    let (first, second) = (tree.disk("vda", 8 * MIB), tree.disk("vdb", 8 * MIB));
    put(&first, 0, b"XFSB");
    type Case<'a> = (&'a str, Box<dyn Fn(&Path)>);
    let vmfs = "aa31e02a-400f-11db-9590-000c2911d1b8";
    let gpfs = "37affc90-ef7d-4e96-91c3-2d7ae055b174";
    let cases: [Case<'_>; 5] = [
        ("VMFS", Box::new(move |disk| gpt(disk, 8 * MIB / 512, &[(vmfs, GUIDS[0], 2048, 4095)]))),
        ("GPFS", Box::new(move |disk| gpt(disk, 8 * MIB / 512, &[(gpfs, GUIDS[0], 2048, 4095)]))),
        ("VMFS", Box::new(|disk| mbr(disk, 0, &[(0xfb, 2048, 2048)]))),
        ("OCFS2", Box::new(|disk| put(disk, 4096, b"OCFSV2"))),
        (
            "GFS2",
            Box::new(|disk| {
                mbr(disk, 0, &[(0x83, 2048, 4096)]);
                put(disk, MIB + 65536, &[0x01, 0x16, 0x19, 0x70, 0, 0, 0, 1]);
            }),
        ),
    ];
    for (content, make) in cases {
        fs::write(&second, vec![0; usize::try_from(8 * MIB).unwrap()]).unwrap();
        make(&second);
        let before = fs::read(&second).unwrap();
        let error = erase(&tree.machine(), &json!({"driver_internal_info": {}})).unwrap_err();
        assert_eq!((error.class(), error.code(), error.disk_touched()), ("ProtectedDeviceError", 500, false));
        assert!(
            error.details().contains("/dev/vdb") && error.details().contains(content),
            "{}",
            error.details()
        );
        assert!(fs::read(&second).unwrap() == before);
        assert_eq!(get(&first, 0, 4), b"XFSB");
    }
    let node = json!({"driver_internal_info": {"wipe_special_filesystems": true}});
    assert_eq!(erase(&tree.machine(), &node).unwrap().len(), 2);
    assert_eq!(get(&first, 0, 4), [0; 4]);
    assert_unrecognised(&second, &[]);
}

#[test]
fn skipped_disks_are_named_and_untouched() {
    let tree = Tree::new();
    let disks = ["vda", "vdb", "vdc", "vdd"].map(|name| tree.disk(name, 4 * MIB));
    for disk in &disks {
        put(disk, 0, b"XFSB");
    }
    tree.write("sys/block/vdc/ro", "1\n");
    // A member of the array "host:keep", superblock version 1.2.
    member(&disks[3], 1, "keep");
    let node = json!({"properties": {"skip_block_devices": [{"name": "/dev/vdb"}, {"volume_name": "keep"}]}});
    let proofs = erase(&tree.machine(), &node).unwrap();
    let results: Vec<_> = proofs.iter().map(|proof| (proof.device.as_str(), proof.result)).collect();
    use ProofResult::{Proven, Skipped};
    assert_eq!(
        results,
        [("/dev/vda", Proven), ("/dev/vdb", Skipped), ("/dev/vdc", Skipped), ("/dev/vdd", Skipped)]
    );
    for disk in &disks[1..] {
        assert_eq!(get(disk, 0, 4), b"XFSB");
    }
    assert!(proofs[2].actions[0].contains("read-only"));

    for list in [json!([{"nme": "/dev/vdb"}]), json!([{}]), json!({"name": "x"}), json!([{"volume_name": 1}])]
    {
        let error = erase(&tree.machine(), &json!({"properties": {"skip_block_devices": list}})).unwrap_err();
        assert_eq!((error.class(), error.code()), ("InvalidCommandParamsError", 400));
    }
}

#[test]
fn every_disk_is_tried_and_the_failed_ones_are_named() {
    let tree = Tree::new();
    let good = [tree.disk("vda", 4 * MIB), tree.disk("vdc", 4 * MIB)];
    for disk in &good {
        put(disk, 0, b"XFSB");
    }
    for name in ["vdb", "vdd"] {
        fs::remove_file(tree.disk(name, 4 * MIB)).unwrap();
    }
    let error = erase(&tree.machine(), &json!({})).unwrap_err();
    assert_eq!(
        (error.class(), error.code(), error.message()),
        ("BlockDeviceEraseError", 500, "Error erasing block device")
    );
    assert!(
        error.details().contains("/dev/vdb: ") && error.details().contains("/dev/vdd: "),
        "{}",
        error.details()
    );
    assert!(!error.details().contains("/dev/vda") && error.disk_touched() && error.retry());
    assert_eq!(error.done().collect::<Vec<_>>(), ["/dev/vda", "/dev/vdc"]);
    let results: Vec<ProofResult> = error.proofs().iter().map(|proof| proof.result).collect();
    assert_eq!(results, [ProofResult::Proven, ProofResult::Failed, ProofResult::Proven, ProofResult::Failed]);
    for disk in &good {
        assert_eq!(get(disk, 0, 4), [0; 4]);
    }
}

#[test]
fn cancel_before_anything_touches_nothing() {
    let tree = Tree::new();
    let disks = [tree.disk("vda", 4 * MIB), tree.disk("vdb", 4 * MIB)];
    for disk in &disks {
        put(disk, 0, b"XFSB");
    }
    let observer = Observer { stop_after: Some(0), ..Observer::default() };
    let error = erase_observed(&tree.machine(), &json!({}), &observer).unwrap_err();
    assert_eq!(error, StepError::Cancelled { done: 0, total: 2 });
    assert!(!error.disk_touched() && error.retry());
    assert!(disks.iter().all(|disk| get(disk, 0, 4) == b"XFSB"));
}

#[test]
fn cancel_within_a_disk_leaves_its_table_and_progress_is_told() {
    let tree = Tree::new();
    let disk = tree.disk("vda", 64 * MIB);
    let sectors = 64 * MIB / 512;
    gpt(&disk, sectors, &[(ESP, GUIDS[0], 2048, 34815), (LINUX, GUIDS[1], 34816, sectors - 34)]);
    put(&disk, MIB, b"XFSB");
    let observer = Observer { stop_after: Some(1), ..Observer::default() };
    let error = erase_observed(&tree.machine(), &json!({}), &observer).unwrap_err();
    let StepError::Halted { states, proofs, touched } = &error else { panic!("{error:?}") };
    assert_eq!((states.len(), proofs.len(), *touched), (1, 1, true));
    assert_eq!(error.done().count(), 0);
    assert!(states[0].device == "/dev/vda" && states[0].reason.contains("its table is still there"));
    assert_eq!((get(&disk, 512, 8), get(&disk, MIB, 4)), (b"EFI PART".to_vec(), b"XFSB".to_vec()));
    assert_eq!(*observer.seen.lock().unwrap(), [("/dev/vda".into(), 0, 3), ("/dev/vda".into(), 1, 3)]);
    // Done again, it is done to the end.
    erase(&tree.machine(), &json!({})).unwrap();
    assert_unrecognised(&disk, &[]);
    assert_eq!(get(&disk, MIB, 4), [0; 4]);
}

#[test]
fn a_dry_run_tells_the_plan_and_touches_nothing() {
    let tree = Tree::new();
    let disks = ["vda", "vdb", "vdc"].map(|name| tree.disk(name, 8 * MIB));
    put(&disks[0], 0, b"XFSB");
    put(&disks[2], 4096, b"OCFSV2");
    let state = || -> Vec<_> {
        let of = |disk: &std::path::PathBuf| {
            (fs::read(disk).unwrap(), disk.metadata().unwrap().modified().unwrap())
        };
        disks.iter().map(of).collect()
    };
    let before = state();
    // Nobody may write to them, whoever runs this.
    for disk in &disks {
        fs::set_permissions(disk, std::os::unix::fs::PermissionsExt::from_mode(0o400)).unwrap();
    }
    tree.write("sys/block/vdb/ro", "1\n");
    let node = json!({});
    let run = |args: Value| {
        let manager = GenericHardwareManager::new(tree.machine());
        let (ports, args) = (json!([]), args.as_object().unwrap().clone());
        let observer = Observer::default();
        let context = StepContext { node: &node, ports: &ports, args: &args, observer: &observer };
        manager.run_step("erase_devices_metadata", &context)
    };
    let result = run(json!({"dry_run": true})).unwrap();
    assert_eq!(result.as_object().unwrap().keys().collect::<Vec<_>>(), ["plan"]);
    let plan: Vec<DevicePlan> = serde_json::from_value(result["plan"].clone()).unwrap();
    let verdicts: Vec<_> = plan.iter().map(|plan| (plan.device.as_str(), plan.verdict)).collect();
    use PlanVerdict::{Erase, Refuse, Skip};
    assert_eq!(verdicts, [("/dev/vda", Erase), ("/dev/vdb", Skip), ("/dev/vdc", Refuse)]);
    assert!(plan[0].reasons.iter().any(|reason| reason == "disk: XFS at offset 0"), "{:?}", plan[0]);
    assert_eq!((plan[0].methods[0].method.as_str(), plan[1].methods.len()), ("metadata-wipe", 0));
    assert!(plan[1].reasons[0].contains("read-only") && plan[2].reasons[0].contains("OCFS2"));
    assert!(state() == before);
    let error = run(json!({"dry_run": "yes"})).unwrap_err();
    assert_eq!(error.code(), 400, "{error}");
}

#[test]
fn virtual_media_of_a_bmc_are_no_disks() {
    let tree = Tree::new();
    let names = ["sda", "sdb", "sdc", "sdd"];
    let usb = "pci0000:00/0000:00:14.0/usb1/1-3/1-3.1";
    let sas = "pci0000:00/0000:02:00.0";
    let bus = [usb, usb, usb, sas];
    let disks = [0, 1, 2, 3].map(|at| {
        let attributes: &[(&str, &str)] = match at {
            0 => &[("device/vendor", "AMI"), ("device/model", "Virtual HDisk0")],
            1 => &[("device/vendor", "Generic"), ("device/model", "Flash Disk"), ("removable", "1")],
            2 => &[("device/vendor", "SanDisk"), ("device/model", "Ultra Fit"), ("removable", "1")],
            _ => &[("device/vendor", "Msft"), ("device/model", "Virtual Disk")],
        };
        let parent = if at == 1 { usb.replace("usb1", "usb2") } else { bus[at].to_owned() };
        if at < 3 {
            let maker = if at == 1 { "046b\n" } else { "0781\n" };
            tree.write(&format!("sys/devices/{parent}/idVendor"), maker);
        }
        let device = format!("{parent}/host{at}/block/{}", names[at]);
        tree.block(names[at], &device, 4 * MIB, attributes);
        let node = tree.write(&format!("dev/{}", names[at]), vec![0; usize::try_from(4 * MIB).unwrap()]);
        put(&node, 0, b"XFSB");
        node
    });
    let proofs = erase(&tree.machine(), &json!({})).unwrap();
    let results: Vec<_> = proofs.iter().map(|proof| proof.result).collect();
    use ProofResult::{Proven, Skipped};
    assert_eq!(results, [Skipped, Skipped, Proven, Proven]);
    assert_eq!((get(&disks[0], 0, 4), get(&disks[2], 0, 4)), (b"XFSB".to_vec(), vec![0; 4]));
}

#[test]
fn media_that_controllers_name_otherwise_are_no_disks_either() {
    for (vendor, model) in
        [("Cisco", "vKVM-Mapped vHDD"), ("Linux", "File-Stor Gadget"), ("Dell", "OEMDRV"), ("IPMI", "VMedia")]
    {
        let tree = Tree::new();
        let device = "pci0000:00/0000:00:14.0/usb1/1-3/host1/block/sda";
        tree.block("sda", device, 4 * MIB, &[("device/vendor", vendor), ("device/model", model)]);
        let node = tree.write("dev/sda", vec![0; usize::try_from(4 * MIB).unwrap()]);
        put(&node, 0, b"XFSB");
        let proofs = erase(&tree.machine(), &json!({})).unwrap();
        assert_eq!(proofs[0].result, ProofResult::Skipped, "{vendor} {model}");
        assert_eq!(get(&node, 0, 4), b"XFSB");
    }
}

/// A metadata area of LVM with this text, where the header of the area says that it is.
fn volume_group(disk: &Path, text: &str) {
    put(disk, 4096 + 4, b" LVM2 x[5A%r0N*>");
    let length = u64::try_from(text.len()).unwrap();
    for (at, number) in [(24, 4096), (32, 1_044_480), (40, 8192), (48, length)] {
        put(disk, 4096 + at, &u64::to_le_bytes(number));
    }
    put(disk, 4096 + 8192, text.as_bytes());
}

#[test]
fn volume_groups_of_a_cluster_stop_everything() {
    let tree = Tree::new();
    let disks = ["vda", "vdb"].map(|name| tree.disk(name, 4 * MIB));
    put(&disks[0], 0, b"XFSB");
    volume_group(&disks[1], "shared {\nlock_type = \"sanlock\"\n}\n");
    let error = erase(&tree.machine(), &json!({})).unwrap_err();
    assert!(matches!(&error, StepError::Protected { device, .. } if device == "/dev/vdb"), "{error}");
    assert_eq!(get(&disks[0], 0, 4), b"XFSB");
    let proofs = erase(&tree.machine(), &json!({"driver_info": {"wipe_special_filesystems": true}})).unwrap();
    assert!(proofs.iter().all(|proof| proof.result == ProofResult::Proven));
    // One machine's own.
    volume_group(&disks[1], "own {\nstatus = [\"RESIZEABLE\", \"READ\", \"WRITE\"]\n}\n");
    erase(&tree.machine(), &json!({})).unwrap();
}

#[test]
fn shared_file_systems_on_logical_volumes_stop_everything() {
    let tree = Tree::new();
    let disk = tree.disk("vda", 4 * MIB);
    put(&disk, 0, b"XFSB");
    tree.block("dm-0", "virtual/block/dm-0", 4 * MIB, &[("dm/uuid", "LVM-x\n"), ("dm/name", "vg-lv\n")]);
    tree.link("sys/block/vda/holders/dm-0", "sys/devices/virtual/block/dm-0");
    let volume = tree.write("dev/dm-0", vec![0; usize::try_from(4 * MIB).unwrap()]);
    put(&volume, 64 << 10, &[0x01, 0x16, 0x19, 0x70, 0, 0, 0, 1]);
    let error = erase(&tree.machine(), &json!({})).unwrap_err();
    assert!(matches!(error, StepError::Protected { .. }), "{error}");
    assert!(error.details().contains("on /dev/dm-0: GFS2"), "{}", error.details());
    // Nothing can be read from a suspended one.
    tree.write("sys/devices/virtual/block/dm-0/dm/suspended", "1\n");
    let error = erase(&tree.machine(), &json!({})).unwrap_err();
    assert!(!matches!(error, StepError::Protected { .. }), "{error}");
}

#[test]
fn a_disk_cannot_ask_for_work_without_end() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    let sectors = (4 << 30) / 512;
    sparse(&disk, 4 << 30);
    let parts = [(LINUX, GUIDS[0], 2048, sectors - 34), (LINUX, GUIDS[1], 2112, sectors - 34)];
    gpt(&disk, sectors, &parts);
    // Groups of 64 blocks of 512 bytes: far below what any tool makes, and not below what the format allows.
    let superblock = [b"XFSB".as_slice(), &512_u32.to_be_bytes()].concat();
    for start in [0, 2048 * 512, 2112 * 512] {
        put(&disk, start, &superblock);
        put(&disk, start + 84, &64_u32.to_be_bytes());
    }
    let error = erase(&machine_of(&Tree::new(), &disk), &json!({})).unwrap_err();
    assert!(error.details().contains("more places than can be looked at"), "{}", error.details());
    assert_eq!(get(&disk, 0, 4), b"XFSB");
}

/// A member of an array, as version 1.2 has it.
fn member(disk: &Path, uuid: u8, name: &str) {
    put(disk, 4096, &[0xfc, 0x4e, 0x2b, 0xa9, 1, 0, 0, 0]);
    put(disk, 4096 + 16, &[uuid; 16]);
    put(disk, 4096 + 32, format!("host:{name}\0").as_bytes());
    put(disk, 4096 + 144, &8_u64.to_le_bytes());
}

#[test]
fn members_of_arrays_stay_where_the_node_s_raid_does() {
    let tree = Tree::new();
    let disks = ["vda", "vdb"].map(|name| tree.disk(name, 4 * MIB));
    member(&disks[0], 1, "root");
    member(&disks[1], 1, "root");
    let node =
        json!({"target_raid_config": {"logical_disks": [{"raid_level": "1", "controller": "software"}]}});
    // It does not run: nothing of what it holds could be wiped, and that is no success.
    let error = erase(&tree.machine(), &node).unwrap_err();
    assert!(error.details().contains("the array root") && !error.disk_touched(), "{}", error.details());
    assert_eq!(get(&disks[0], 4096, 4), 0xa92b_4efc_u32.to_le_bytes());
    // Without such a configuration, they are what a tenant left behind.
    let proofs = erase(&tree.machine(), &json!({})).unwrap();
    assert!(proofs.iter().all(|proof| proof.result == ProofResult::Proven));
    assert_eq!(get(&disks[0], 4096, 4), [0; 4]);
}

#[test]
fn mounted_disks_fail_the_step_and_the_others_are_wiped() {
    let tree = Tree::new();
    let disks = ["vda", "vdb"].map(|name| tree.disk(name, 4 * MIB));
    for (disk, number) in disks.iter().zip(["254:0", "254:16"]) {
        put(disk, 0, b"XFSB");
        let name = disk.file_name().unwrap().to_str().unwrap();
        tree.write(&format!("sys/block/{name}/dev"), number);
    }
    tree.write("proc/self/mountinfo", "31 1 254:0 / /srv/data rw - xfs /dev/vda rw\n");
    let error = erase(&tree.machine(), &json!({})).unwrap_err();
    assert!(error.details().contains("/dev/vda is mounted at /srv/data"), "{}", error.details());
    assert_eq!((get(&disks[0], 0, 4), get(&disks[1], 0, 4)), (b"XFSB".to_vec(), vec![0; 4]));
}

#[test]
fn drives_that_have_failed_are_not_passed_over() {
    let tree = Tree::new();
    let disk = tree.disk("vda", 4 * MIB);
    put(&disk, 0, b"XFSB");
    tree.disk("vdb", 0);
    let error = erase(&tree.machine(), &json!({})).unwrap_err();
    assert!(
        error.details().contains("/dev/vdb") && error.details().contains("no size"),
        "{}",
        error.details()
    );
    assert_eq!(get(&disk, 0, 4), [0; 4]);
    // Unless the operator knows.
    let node = json!({"properties": {"skip_block_devices": [{"name": "/dev/vdb"}]}});
    erase(&tree.machine(), &node).unwrap();
}
