//! The first process of a virtual machine with four empty disks: takes the RAID steps through their paces with the
//! real mdadm and the kernel's md driver, prints what happened, and switches the machine off. Started by
//! `tests/setup/raid-guest.sh`.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::kmod::{ModuleInitFlags, finit_module};
use nix::mount::{MsFlags, mount};
use nix::sys::reboot::{RebootMode, reboot};
use serde_json::{Map, Value, json};
use tacit_hardware::{
    GenericHardwareManager, HardwareManager, Machine, Roots, StepContext, StepError, StepObserver,
};
use tacit_model::ProgressUnit;

const DISKS: [&str; 4] = ["/dev/vda", "/dev/vdb", "/dev/vdc", "/dev/vdd"];

struct Printer;

impl StepObserver for Printer {
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, _: ProgressUnit) {
        println!("  {stage} {device} {done}/{total}");
    }

    fn cancelled(&self) -> bool {
        false
    }
}

fn main() {
    let outcome = std::panic::catch_unwind(|| {
        prepare();
        scenarios();
    });
    println!("RAID-GUEST: {}", if outcome.is_ok() { "passed" } else { "failed" });
    nix::unistd::sync();
    let Err(error) = reboot(RebootMode::RB_POWER_OFF);
    println!("RAID-GUEST: cannot switch off: {error}");
}

fn prepare() {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("tmpfs", "/run")] {
        fs::create_dir_all(at).expect("the ramdisk is writable");
        mount(Some(kind), at, Some(kind), MsFlags::empty(), None::<&str>)
            .expect("the kernel has its own trees");
    }
    for path in fs::read_to_string("/modules").expect("the script left a list").lines() {
        let module = File::open(path).expect("listed modules are there");
        if let Err(error) = finit_module(&module, c"", ModuleInitFlags::empty()) {
            println!("{path}: {error}");
        }
    }
    let end = Instant::now() + Duration::from_secs(60);
    let there = |disk: &&str| fs::metadata(disk).is_ok_and(|found| found.file_type().is_block_device());
    while !DISKS.iter().all(there) {
        assert!(Instant::now() < end, "the disks did not come");
        thread::sleep(Duration::from_millis(50));
    }
}

fn machine() -> Machine {
    Machine::new(Roots::default(), None)
}

fn step(name: &str, node: &Value, args: Value) -> Result<Value, StepError> {
    println!("== {name}");
    let manager = GenericHardwareManager::new(machine());
    let args: Map<String, Value> = serde_json::from_value(args).expect("arguments are an object");
    let context = StepContext { node, ports: &json!([]), args: &args, observer: &Printer };
    let begin = Instant::now();
    let outcome = manager.run_step(name, &context);
    match &outcome {
        Ok(result) => println!("  {} ms: {result}", begin.elapsed().as_millis()),
        Err(error) => println!("  {} ms: {}", begin.elapsed().as_millis(), error.details()),
    }
    outcome
}

fn volume(level: &str, size: Value, name: &str) -> Value {
    json!({"controller": "software", "raid_level": level, "size_gb": size, "volume_name": name})
}

fn node(volumes: &[Value]) -> Value {
    json!({
        "target_raid_config": {"logical_disks": volumes},
        "instance_info": {"deploy_boot_mode": "uefi"},
    })
}

fn arrays() -> Vec<String> {
    let text = fs::read_to_string("/proc/mdstat").expect("md is loaded");
    println!("{text}");
    text.lines().filter(|line| line.starts_with("md")).map(str::to_owned).collect()
}

/// What mdadm itself still recognises.
fn recognised() -> Vec<String> {
    let mut found = Vec::new();
    for disk in DISKS {
        for part in ["", "1", "2", "3"] {
            let node = format!("{disk}{part}");
            if !Path::new(&node).exists() {
                continue;
            }
            let output = Command::new("/sbin/mdadm").args(["--examine", &node]).output().expect("mdadm runs");
            let text = String::from_utf8_lossy(&output.stdout);
            if text.contains("Array UUID") {
                found.push(node);
            }
        }
    }
    found
}

fn scenarios() {
    let mut both = node(&[volume("1", json!(1), "root"), volume("5", json!("MAX"), "data")]);
    let made = step("create_configuration", &both, json!({})).expect("arrays are made");
    assert_eq!(made["proofs"].as_array().map(Vec::len), Some(2));
    assert_eq!(arrays().len(), 2);
    assert!(machine().disks().iter().any(|disk| disk.name == "/dev/md0"));

    step("create_configuration", &both, json!({})).expect_err("used disks are refused");
    let plan = step("delete_configuration", &both, json!({"dry_run": true})).expect("a plan is made");
    assert_eq!(plan["plan"]["delete"]["disks"].as_array().map(Vec::len), Some(4));
    assert_eq!(arrays().len(), 2, "a plan took something away");

    let held = OpenOptions::new().read(true).write(true).custom_flags(nix::libc::O_EXCL).open("/dev/md1");
    let held = held.expect("nobody else holds the array");
    step("delete_configuration", &both, json!({})).expect_err("an array in use is refused");
    assert!(arrays().iter().any(|array| array.starts_with("md0 ")), "a refused deletion stopped an array");
    drop(held);

    both["properties"] = json!({"skip_block_devices": [{"volume_name": "data"}]});
    step("delete_configuration", &both, json!({})).expect("what is not kept is wiped");
    assert_eq!(arrays().len(), 2, "a kept array, or its neighbour, is gone");
    let kept = step("create_configuration", &both, json!({})).expect("nothing has to be made");
    assert_eq!(kept["proofs"], json!([]));

    both["properties"] = Value::Null;
    step("delete_configuration", &both, json!({})).expect("arrays are removed");
    assert_eq!((arrays(), recognised()), (Vec::<String>::new(), Vec::<String>::new()));

    for level in ["0", "6", "1+0"] {
        let config =
            json!({"logical_disks": [volume("1", json!(1), "root"), volume(level, json!("MAX"), "data")]});
        let made =
            step("apply_configuration", &both, json!({"raid_config": config})).expect("arrays are made");
        assert!(made["proofs"].as_array().is_some_and(|proofs| proofs.len() >= 2), "{level}");
        assert_eq!(arrays().len(), 2, "{level}");
    }
    step("delete_configuration", &both, json!({})).expect("arrays are removed");
    assert_eq!((arrays(), recognised()), (Vec::<String>::new(), Vec::<String>::new()));
    for disk in DISKS {
        assert!(!Path::new(&format!("{disk}1")).exists(), "{disk} still has partitions");
    }
}
