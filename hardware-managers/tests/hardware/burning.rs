//! The step `burnin_disk`: what it overwrites, and what it does not pass without having overwritten it.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};
use tacit_hardware::{GenericHardwareManager, HardwareManager, StepContext, StepError, StepObserver};
use tacit_model::ProgressUnit;

use crate::disk_image::{MIB, sparse};
use crate::tree::Tree;

struct Nobody;

impl StepObserver for Nobody {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }
}

fn burn(tree: &Tree, skipped: &Value, args: &Value) -> Result<Value, StepError> {
    let node = json!({
        "driver_info": {"agent_burnin_fio_disk_loops": 1},
        "properties": {"skip_block_devices": skipped},
    });
    let (ports, args): (_, Map<_, _>) = (json!([]), args.as_object().unwrap().clone());
    let context = StepContext { node: &node, ports: &ports, args: &args, observer: &Nobody };
    GenericHardwareManager::new(tree.machine()).run_step("burnin_disk", &context)
}

fn is_untouched(disk: &Path) -> bool {
    fs::read(disk).unwrap().iter().all(|byte| *byte == 0)
}

/// An array of two disks, which the kernel runs.
fn mirror(tree: &Tree) -> [std::path::PathBuf; 3] {
    let [first, second] = ["vdb", "vdc"].map(|name| tree.disk(name, 4 * MIB));
    tree.block("md127", "virtual/block/md127", 4 * MIB, &[("md/level", "raid1\n")]);
    for name in ["vdb", "vdc"] {
        let device = format!("sys/devices/pci0000:00/0000:00:0a.0/virtio9/block/{name}");
        tree.link(&format!("sys/devices/virtual/block/md127/slaves/{name}"), &device);
        tree.link(&format!("{device}/holders/md127"), "sys/devices/virtual/block/md127");
    }
    let array = tree.path("dev/md127");
    sparse(&array, 4 * MIB);
    [array, first, second]
}

#[test]
fn an_array_of_disks_that_are_kept_out_is_not_overwritten() {
    let tree = Tree::new();
    let kept = mirror(&tree);
    let other = tree.disk("vda", 4 * MIB);
    let skip = json!([{"name": "/dev/vdb"}, {"name": "/dev/vdc"}]);
    let plan = burn(&tree, &skip, &json!({"dry_run": true})).unwrap();
    assert_eq!(plan["plan"]["overwritten"], json!(["/dev/vda"]));
    assert!(is_untouched(&other));
    let found = burn(&tree, &skip, &json!({})).unwrap();
    assert_eq!((&found["result"], &found["disks"]), (&json!("passed"), &json!(["/dev/vda"])));
    assert_eq!(found["skipped"].as_array().unwrap().len(), 3, "{found}");
    assert!(!is_untouched(&other) && kept.iter().all(|disk| is_untouched(disk)));
}

#[test]
fn an_array_does_not_stand_for_its_disks() {
    let tree = Tree::new();
    mirror(&tree);
    // The disks themselves are files here, which nothing holds.
    let plan = burn(&tree, &json!([]), &json!({"dry_run": true})).unwrap();
    assert_eq!(plan["plan"]["overwritten"], json!(["/dev/vdb", "/dev/vdc"]));
    assert_eq!(plan["plan"]["skipped"], json!(["/dev/md127: made of other disks"]));
}

#[test]
fn a_medium_that_a_bmc_plays_is_not_overwritten() {
    let tree = Tree::new();
    let vendor = [("device/vendor", "AMI\n"), ("removable", "1\n")];
    tree.block("sdc", "pci0000:00/0000:00:14.0/usb1/1-1/host6/block/sdc", 4 * MIB, &vendor);
    let medium = tree.path("dev/sdc");
    sparse(&medium, 4 * MIB);
    let found = burn(&tree, &json!([]), &json!({})).unwrap();
    assert_eq!((&found["result"], &found["disks"]), (&json!("nothing to test"), &json!([])));
    assert!(found["skipped"][0].as_str().unwrap().contains("a virtual medium"), "{found}");
    assert!(is_untouched(&medium));
}

#[test]
fn members_of_an_array_that_does_not_run_are_not_overwritten() {
    let tree = Tree::new();
    let disk = tree.disk("vda", 4 * MIB);
    let mut content = fs::read(&disk).unwrap();
    // An md superblock of version 1.2.
    content[4096..4100].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    content[4100..4104].copy_from_slice(&1_u32.to_le_bytes());
    fs::write(&disk, &content).unwrap();
    let error = burn(&tree, &json!([]), &json!({})).unwrap_err();
    assert!(error.details().contains("superblock"), "{}", error.details());
    assert!(!error.disk_touched());
    assert_eq!(fs::read(&disk).unwrap(), content);
}

#[test]
fn a_machine_without_disks_says_that_nothing_was_tested() {
    let found = burn(&Tree::new(), &json!([]), &json!({})).unwrap();
    assert_eq!((&found["result"], &found["disks"]), (&json!("nothing to test"), &json!([])));
}

#[test]
fn disks_that_cannot_be_listed_or_are_dead_have_not_passed() {
    let tree = Tree::new();
    fs::remove_dir(tree.path("sys/block")).unwrap();
    let error = burn(&tree, &json!([]), &json!({})).unwrap_err();
    assert!(error.details().contains("cannot be listed"), "{}", error.details());

    let tree = Tree::new();
    let sound = tree.disk("vda", 4 * MIB);
    tree.block("sdb", "pci0000:00/0000:00:1f.2/ata1/block/sdb", 0, &[("removable", "0\n")]);
    fs::write(tree.path("dev/sdb"), b"").unwrap();
    let error = burn(&tree, &json!([]), &json!({})).unwrap_err();
    assert!(error.details().contains("/dev/sdb: reports a size of zero"), "{}", error.details());
    assert!(!error.disk_touched() && is_untouched(&sound));
    burn(&tree, &json!([{"name": "/dev/sdb"}]), &json!({})).unwrap();
    assert!(!is_untouched(&sound));
}
