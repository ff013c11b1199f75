//! The step `erase_devices` on machines whose disks are few, or none, or not to be seen.

use std::fs;

use serde_json::{Map, Value, json};
use tacit_hardware::{
    GenericHardwareManager, HardwareManager, Machine, StepContext, StepError, StepObserver,
};
use tacit_model::{ProgressUnit, ProofResult};

use crate::disk_image::MIB;
use crate::tree::Tree;

struct Nobody;

impl StepObserver for Nobody {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }
}

fn run(machine: Machine, step: &str) -> Result<Value, StepError> {
    let (node, ports, args) = (json!({}), json!([]), Map::new());
    let context = StepContext { node: &node, ports: &ports, args: &args, observer: &Nobody };
    GenericHardwareManager::new(machine).run_step(step, &context)
}

const STEPS: [&str; 3] = ["erase_devices", "erase_devices_express", "erase_devices_metadata"];

#[test]
fn a_machine_without_disks_is_erased_and_says_that_there_are_none() {
    for step in STEPS {
        assert_eq!(run(Tree::new().machine(), step).unwrap(), json!({"proofs": [], "disks": 0}), "{step}");
    }
}

#[test]
fn a_list_of_disks_that_cannot_be_read_is_no_machine_without_disks() {
    for step in STEPS {
        let tree = Tree::new();
        fs::remove_dir(tree.path("sys/block")).unwrap();
        let error = run(tree.machine(), step).unwrap_err();
        assert!(error.details().contains("cannot be listed"), "{step}: {}", error.details());
        assert!(!error.disk_touched());
    }
}

#[test]
fn a_disk_that_lost_its_size_is_not_passed_over() {
    let tree = Tree::new();
    tree.disk("vda", 4 * MIB);
    tree.block("sdb", "pci0000:00/0000:00:1f.2/ata1/block/sdb", 0, &[("removable", "0\n")]);
    fs::write(tree.path("dev/sdb"), b"").unwrap();
    // A slot without a card.
    tree.block("sdc", "pci0000:00/0000:00:14.0/usb1/block/sdc", 0, &[("removable", "1\n")]);
    let error = run(tree.machine(), "erase_devices").unwrap_err();
    assert!(error.details().contains("/dev/sdb: refused: reports a size of zero"), "{}", error.details());
    let results: Vec<(&str, ProofResult)> =
        error.proofs().iter().map(|proof| (proof.device.as_str(), proof.result)).collect();
    assert_eq!(results, [("/dev/vda", ProofResult::Proven), ("/dev/sdb", ProofResult::Failed)]);
    let error = run(tree.machine(), "erase_devices_express").unwrap_err();
    assert!(error.details().contains("/dev/sdb: "), "{}", error.details());
    assert!(error.done().all(|device| device.ends_with("vda")) && error.done().count() > 0);
}
