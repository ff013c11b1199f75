//! How long the metadata wipe of many disks takes: `cargo run --release --example wipe-rate [DISKS [FOLDER]]`. The disks
//! are sparse files of 64 GiB, each with a partition table, a file system and a volume group's label.

#![expect(clippy::unwrap_used, reason = "a measurement that fails ends")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::{Map, json};
use tacit_hardware::{GenericHardwareManager, HardwareManager, Machine, Roots, StepContext, StepObserver};
use tacit_model::ProgressUnit;

struct Silent;

impl StepObserver for Silent {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }
}

fn fill(disk: &File) {
    disk.set_len(64 << 30).unwrap();
    let mut entry = [0; 16];
    entry[4] = 0x8e;
    entry[8..12].copy_from_slice(&2048_u32.to_le_bytes());
    entry[12..16].copy_from_slice(&(1_u32 << 24).to_le_bytes());
    for (bytes, at) in [(entry.as_slice(), 446), (&[0x55, 0xaa], 510), (b"LABELONE", (1 << 20) + 512)] {
        disk.write_all_at(bytes, at).unwrap();
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(24, |count| count.parse().unwrap());
    let folder = match arguments.next() {
        Some(folder) => tempfile::tempdir_in(folder),
        None => tempfile::tempdir(),
    }
    .unwrap();
    let disks: Vec<PathBuf> = (0..count).map(|number| folder.path().join(format!("disk{number}"))).collect();
    for disk in &disks {
        fill(&File::create(disk).unwrap());
    }
    let manager = GenericHardwareManager::new(Machine::new(Roots::below(folder.path()), Some(disks)));
    let (node, ports) = (json!({}), json!([]));
    for (what, args) in [("planned", json!({"dry_run": true})), ("wiped and proven", json!({}))] {
        let args: Map<_, _> = args.as_object().unwrap().clone();
        let context = StepContext { node: &node, ports: &ports, args: &args, observer: &Silent };
        let start = Instant::now();
        let result = manager.run_step("erase_devices_metadata", &context).unwrap();
        let told = result["plan"].as_array().or(result["proofs"].as_array()).unwrap();
        assert_eq!(told.len(), count, "disks were left out");
        println!("{count} disks {what} in {:.3} s", start.elapsed().as_secs_f64());
    }
}
