//! Which disk files are injected into: the one that the image is on, or would go on.

use serde_json::{Value, json};
use tacit_hardware::{
    GenericHardwareManager, HardwareManager as _, Machine, StepContext, StepError, StepObserver,
};
use tacit_model::ProgressUnit;

use crate::tree::Tree;

const GIB: u64 = 1 << 30;

/// Knows which disk an image was written to.
struct Deployed(Option<&'static str>);

impl StepObserver for Deployed {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }

    fn deployed_disk(&self) -> Option<String> {
        self.0.map(str::to_owned)
    }
}

/// Two disks of 8 and 16 GiB with the same serial number and an array of 32 GiB, each with a partition.
fn machine() -> Tree {
    let tree = Tree::new();
    for (name, gib, attributes) in
        [("vda", 8, ("serial", "s")), ("vdb", 16, ("serial", "s")), ("md0", 32, ("md/level", "raid1\n"))]
    {
        let device = format!("pci0000:00/{name}/block/{name}");
        tree.block(name, &device, gib * GIB, &[attributes]);
        tree.write(&format!("sys/devices/{device}/{name}p1/partition"), "1\n");
    }
    tree
}

/// The partition that a file goes into.
fn place(machine: &Machine, deployed: Option<&'static str>, properties: Value) -> Result<String, StepError> {
    let node = json!({ "properties": properties });
    let args = json!({"dry_run": true, "files": [{"path": "/etc/x", "deleted": true, "partition": 1}]});
    let observer = Deployed(deployed);
    let args = args.as_object().unwrap();
    let context = StepContext { node: &node, ports: &json!([]), args, observer: &observer };
    let plan = GenericHardwareManager::new(machine.clone()).run_step("inject_files", &context)?;
    let device = plan["plan"][0]["device"].as_str().unwrap();
    Ok(device.rsplit('/').next().unwrap().to_owned())
}

#[test]
fn files_go_to_the_disk_that_an_image_goes_to() {
    let tree = machine();
    let machine = tree.machine();
    // Without a word of it, the smallest.
    assert_eq!(place(&machine, None, json!({})).unwrap(), "vdap1");
    let two = |policy: &str| json!({"root_device": {"serial": "s"}, "root_device_policy": policy});
    assert_eq!(place(&machine, None, two("first")).unwrap(), "vdap1");
    assert!(place(&machine, None, two("refuse")).unwrap_err().details().contains("/dev/vda and /dev/vdb"));
    machine.set_root_volume("/dev/md0", true);
    assert_eq!(place(&machine, None, json!({})).unwrap(), "md0p1");
}

#[test]
fn files_go_to_the_disk_that_was_deployed() {
    let tree = machine();
    let machine = tree.machine();
    let hints = json!({"root_device": {"name": "/dev/vda"}});
    assert_eq!(place(&machine, Some("/dev/vdb"), hints).unwrap(), "vdbp1");
    for (gone, properties) in
        [("/dev/vdc", json!({})), ("/dev/vdb", json!({"skip_block_devices": [{"name": "/dev/vdb"}]}))]
    {
        let refused = place(&machine, Some(gone), properties).unwrap_err().details();
        assert!(refused.contains(&format!("{gone}, which the image was written to")), "{refused}");
    }
}
