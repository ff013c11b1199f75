//! Choice of the root device (IPA contract §6).

use serde_json::{Value, json};
use tacit_hardware::hints::HintError;
use tacit_hardware::{
    AmbiguityPolicy, RootDeviceError, RootDeviceHints, select_root_device, select_root_device_with,
};
use tacit_model::BlockDevice;

use crate::tree::Tree;

const GIB: u64 = 1 << 30;

fn disk(name: &str, gib: u64, serial: &str) -> BlockDevice {
    BlockDevice {
        name: name.into(),
        size: gib * GIB,
        serial: Some(serial.into()),
        model: Some("ACME Rocket 9".into()),
        vendor: Some("ATA".into()),
        wwn: Some("0x600000000000000a0000000000000b01".into()),
        wwn_with_extension: Some("0x600000000000000a0000000000000b01".into()),
        wwn_vendor_extension: Some("0x0000000000000b01".into()),
        hctl: Some("0:0:1:0".into()),
        by_path: Some("/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0".into()),
        tran: Some("sata".into()),
        ..BlockDevice::default()
    }
}

fn chosen(disks: &[BlockDevice], hints: Value) -> Result<String, RootDeviceError> {
    select_root_device(disks, Some(&hints)).map(|disk| disk.name)
}

#[test]
fn every_hint_is_understood() {
    let one = [disk("/dev/sda", 100, "S 1")];
    for hints in [
        json!({"name": "/dev/sda"}),
        json!({"by_path": "/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0"}),
        json!({"by_path": "/dev/disk/by-path/pci-0000:00:1f.2-ata-1"}),
        json!({"model": "<in> rocket"}),
        json!({"vendor": "ata"}),
        json!({"serial": " s 1 "}),
        // As udev says it in ID_SERIAL and ID_SERIAL_SHORT.
        json!({"serial": "ACME_Rocket_9_S_1"}),
        json!({"serial": "3600000000000000a0000000000000b01"}),
        json!({"serial": "600000000000000a0000000000000b01"}),
        json!({"wwn": "0x600000000000000A0000000000000B01"}),
        json!({"wwn": "0x600000000000000a"}),
        json!({"wwn_with_extension": "<in>0b01"}),
        json!({"wwn_vendor_extension": "0x0000000000000b01"}),
        json!({"hctl": "0:0:1:0"}),
        json!({"size": 100}),
        json!({"size": ">= 60"}),
        json!({"rotational": false}),
        json!({"rotational": "no"}),
        json!({"tran": "<or> sas <or> sata"}),
        json!({"size": "<range-in> [ 50 100 ]", "model": "s!= other", "rotational": "0"}),
    ] {
        assert_eq!(chosen(&one, hints.clone()).as_deref(), Ok("/dev/sda"), "{hints}");
    }
}

#[test]
fn hints_that_are_not_understood_choose_nothing() {
    let one = [disk("/dev/sda", 100, "S1")];
    for hints in [
        json!({"colour": "red"}),
        json!({"serial": 5}),
        json!({"size": 0}),
        json!({"size": -1}),
        json!({"size": "big"}),
        json!({"size": true}),
        json!({"rotational": "perhaps"}),
        json!({"name": ""}),
        json!({"model": ["a"]}),
        json!(["serial"]),
        json!("serial"),
    ] {
        let error = chosen(&one, hints.clone()).unwrap_err();
        assert!(matches!(error, RootDeviceError::Hints(_)), "{hints}: {error}");
        assert_eq!((error.class(), error.code()), ("DeviceNotFound", 404));
    }
    let error = RootDeviceHints::from_json(&json!({"colour": "red"})).unwrap_err();
    assert!(
        matches!(&error, HintError::Unknown { name } if name == "colour")
            && error.to_string().contains("by_path")
    );
}

#[test]
fn without_hints_the_smallest_disk_of_four_gib_is_taken() {
    let disks = [
        disk("/dev/sdc", 100, "c"),
        disk("/dev/sdb", 4, "b"),
        disk("/dev/sda", 3, "a"),
        disk("/dev/sdd", 4, "d"),
    ];
    for hints in [None, Some(Value::Null), Some(json!({}))] {
        assert_eq!(select_root_device(&disks, hints.as_ref()).unwrap().name, "/dev/sdb");
    }
    let error = select_root_device(&disks[2..3], None).unwrap_err();
    assert!(error.to_string().contains("/dev/sda: 3221225472 bytes"), "{error}");
    assert!(select_root_device(&[], None).unwrap_err().to_string().contains("no disks"));
}

#[test]
fn several_matches_are_ordered_by_name_unless_the_hint_should_be_unique() {
    let disks =
        [disk("/dev/sdb", 100, "same"), disk("/dev/sda", 100, "same"), disk("/dev/sdc", 100, "other")];
    assert_eq!(chosen(&disks, json!({"model": "<in> acme"})).unwrap(), "/dev/sda");
    let error = chosen(&disks, json!({"serial": "same"})).unwrap_err();
    assert_eq!(
        error,
        RootDeviceError::Ambiguous {
            hint: "serial".into(),
            disks: vec!["/dev/sda".into(), "/dev/sdb".into()]
        }
    );
    assert!(error.to_string().contains("serial"));
}

#[test]
fn no_match_says_what_each_disk_lacked() {
    let disks = [
        disk("/dev/sda", 10, "a"),
        BlockDevice { name: "/dev/sdb".into(), size: 50 * GIB, ..BlockDevice::default() },
    ];
    let text = chosen(&disks, json!({"size": ">= 40", "serial": "x"})).unwrap_err().to_string();
    assert!(text.contains("/dev/sda: size is 10 GiB, wanted '>= 40'"), "{text}");
    assert!(text.contains("/dev/sdb: serial is nothing, wanted 'x'"), "{text}");
}

#[test]
fn what_must_not_be_is_not_found_under_another_name_either() {
    let one = [disk("/dev/sda", 100, "S1")];
    for hints in [
        json!({"serial": "s!= S1"}),
        json!({"serial": "s!= 3600000000000000a0000000000000b01"}),
        json!({"wwn": "s!= 0x600000000000000a"}),
        json!({"by_path": "s!= /dev/disk/by-path/pci-0000:00:1f.2-ata-1"}),
    ] {
        assert!(matches!(chosen(&one, hints.clone()), Err(RootDeviceError::NoMatch { .. })), "{hints}");
    }
    assert_eq!(chosen(&one, json!({"serial": "s!= S2"})).as_deref(), Ok("/dev/sda"));
    let bare = [BlockDevice { name: "/dev/sda".into(), size: 100 * GIB, ..BlockDevice::default() }];
    assert!(chosen(&bare, json!({"serial": "s!= S2"})).is_err());
}

#[test]
fn the_policy_says_what_several_matches_mean() {
    let disks =
        [disk("/dev/sdaa", 100, "same"), disk("/dev/sdb", 100, "same"), disk("/dev/sdc", 100, "other")];
    let with =
        |policy, hints: Value| select_root_device_with(&disks, Some(&hints), policy).map(|disk| disk.name);
    // Ironic takes the first, in the order in which the kernel counts: aa comes after z.
    assert_eq!(with(AmbiguityPolicy::First, json!({"serial": "same"})).unwrap(), "/dev/sdb");
    assert_eq!(with(AmbiguityPolicy::First, json!({"model": "<in> acme"})).unwrap(), "/dev/sdb");
    let refused = with(AmbiguityPolicy::Refuse, json!({"model": "<in> acme"})).unwrap_err();
    let candidates = ["/dev/sdb", "/dev/sdc", "/dev/sdaa"].map(str::to_owned).to_vec();
    assert_eq!(refused, RootDeviceError::Ambiguous { hint: "model".into(), disks: candidates });
    assert_eq!(
        refused.to_string(),
        "/dev/sdb and /dev/sdc and /dev/sdaa match the root device hint model, which should name one disk"
    );
    assert_eq!(with(AmbiguityPolicy::Refuse, json!({"serial": "other"})).unwrap(), "/dev/sdc");
    // Each of the hints that should name one disk refuses by default.
    for (hint, value) in [
        ("serial", "s>= a"),
        ("wwn", "<in> 0x6"),
        ("wwn_with_extension", "<in> 0x6"),
        ("hctl", "0:0:1:0"),
        ("by_path", "<in> ata"),
        ("name", "<in> sd"),
    ] {
        let error = with(AmbiguityPolicy::default(), json!({ hint: value })).unwrap_err();
        assert!(matches!(&error, RootDeviceError::Ambiguous { hint: named, .. } if named == hint), "{error}");
    }
    for (hint, value) in [("vendor", "ata"), ("wwn_vendor_extension", "0x0000000000000b01"), ("tran", "sata")]
    {
        assert_eq!(with(AmbiguityPolicy::default(), json!({ hint: value })).unwrap(), "/dev/sdb", "{hint}");
    }
}

/// As ironic-python-agent: hints in the order of `lsblk`, the default rule by size and name.
#[test]
fn several_kinds_of_disks_have_the_order_of_ironic_python_agent() {
    let disks = [disk("/dev/nvme0n1", 100, "n"), disk("/dev/sda", 100, "s"), disk("/dev/vda", 100, "v")];
    assert_eq!(chosen(&disks, json!({"size": ">= 40"})).unwrap(), "/dev/sda");
    assert_eq!(select_root_device(&disks, None).unwrap().name, "/dev/nvme0n1");
}

#[test]
fn virtio_disks_have_two_places() {
    let virtio = BlockDevice {
        by_path: Some("/dev/disk/by-path/pci-0000:00:06.0".into()),
        tran: Some("virtio".into()),
        ..disk("/dev/vda", 8, "v")
    };
    for place in ["pci-0000:00:06.0", "virtio-pci-0000:00:06.0"] {
        let hints = json!({"by_path": format!("/dev/disk/by-path/{place}")});
        assert_eq!(chosen(std::slice::from_ref(&virtio), hints).unwrap(), "/dev/vda");
    }
    let sata = [disk("/dev/sda", 8, "s")];
    assert!(chosen(&sata, json!({"by_path": "<in> virtio-"})).is_err());
}

/// A machine of three virtio disks of 8, 16 and 8 GiB.
fn machine() -> Tree {
    let tree = Tree::new();
    for (name, gib, serial) in [("vda", 8, "a"), ("vdb", 16, "b"), ("vdc", 8, "c")] {
        let device = format!("pci0000:00/0000:00:0{}.0/virtio1/block/{name}", serial);
        tree.block(name, &device, gib * GIB, &[("serial", serial)]);
        std::fs::File::create(tree.path("dev").join(name)).unwrap().set_len(gib * GIB).unwrap();
    }
    tree
}

/// Makes a disk a member of the array `data`.
fn member(tree: &Tree, disk: &str) {
    let mut superblock = [0; 256];
    superblock[..4].copy_from_slice(&0xa92b_4efc_u32.to_le_bytes());
    superblock[4] = 1;
    superblock[32..41].copy_from_slice(b"host:data");
    superblock[144] = 8;
    let node = std::fs::OpenOptions::new().write(true).open(tree.path("dev").join(disk)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&node, &superblock, 4096).unwrap();
}

/// The array `data` of 4 GiB on vda, running: the smallest disk of all.
fn array(tree: &Tree) {
    let attributes =
        [("md/level", "raid1\n"), ("md/array_state", "clean\n"), ("md/dev-vda/state", "in_sync\n")];
    tree.block("md127", "virtual/block/md127", 4 * GIB, &attributes);
    tree.link("sys/block/md127/slaves/vda", "sys/block/vda");
    std::fs::File::create(tree.path("dev/md127")).unwrap().set_len(4 * GIB).unwrap();
}

#[test]
fn kept_arrays_and_what_stands_on_listed_disks_are_never_chosen() {
    let tree = machine();
    member(&tree, "vda");
    let node = |skip: Value, hints: Value| json!({"properties": {"skip_block_devices": [skip], "root_device": hints}});
    let kept = json!({"volume_name": "data"});
    // It does not run: by its superblock.
    let refused = for_node(&tree, node(kept.clone(), json!({"name": "/dev/vda"}))).unwrap_err();
    assert!(refused.to_string().contains("the array data"), "{refused}");
    array(&tree);
    // It runs: by its members.
    assert_eq!(for_node(&tree, node(kept.clone(), json!({}))).unwrap(), "/dev/vdc");
    assert!(for_node(&tree, node(kept, json!({"name": "/dev/md127"}))).is_err());
    // It stands on a listed disk.
    let listed = json!({"name": "/dev/vda"});
    assert_eq!(for_node(&tree, node(listed.clone(), json!({}))).unwrap(), "/dev/vdc");
    assert!(for_node(&tree, node(listed, json!({"name": "/dev/md127"}))).is_err());
}

#[test]
fn members_of_arrays_are_chosen_by_their_own_name_only() {
    let tree = machine();
    member(&tree, "vda");
    let by = |hints: Value| for_node(&tree, json!({"properties": {"root_device": hints}}));
    assert_eq!(by(json!({})).unwrap(), "/dev/vdc");
    assert_eq!(by(json!({"size": 8})).unwrap(), "/dev/vdc");
    assert_eq!(by(json!({"serial": "a"})).unwrap(), "/dev/vda");
    member(&tree, "vdb");
    member(&tree, "vdc");
    // A former owner's, of a node that is to have none.
    assert_eq!(by(json!({"size": 8})).unwrap(), "/dev/vda");
    let array = json!({"logical_disks": [{"controller": "software", "raid_level": "1"}]});
    let refused = for_node(&tree, json!({"target_raid_config": array})).unwrap_err();
    assert!(refused.to_string().contains("/dev/vdb: it has the md RAID superblock"), "{refused}");
}

fn for_node(tree: &Tree, node: Value) -> Result<String, RootDeviceError> {
    tree.machine().root_device(&node).map(|disk| disk.name)
}

#[test]
fn the_instance_speaks_before_the_node() {
    let tree = machine();
    let node = json!({
        "instance_info": {"root_device": {"name": "/dev/vdb"}},
        "properties": {"root_device": {"name": "/dev/vdc"}},
    });
    assert_eq!(for_node(&tree, node).unwrap(), "/dev/vdb");
    let node = json!({"instance_info": {"root_device": {}}, "properties": {"root_device": null}});
    assert_eq!(for_node(&tree, node).unwrap(), "/dev/vda");
}

#[test]
fn what_cannot_be_understood_chooses_no_disk() {
    let tree = machine();
    for properties in [
        json!({"root_device": "/dev/vdb"}),
        json!({"root_device": [{"name": "/dev/vdb"}]}),
        json!({"skip_block_devices": {"name": "/dev/vda"}}),
        json!({"skip_block_devices": [{}]}),
        json!({"skip_block_devices": ["/dev/vda"]}),
        json!({"root_device_policy": "best"}),
        json!({"root_device_policy": true}),
    ] {
        let error = for_node(&tree, json!({ "properties": properties })).unwrap_err();
        assert_eq!((error.class(), error.code()), ("DeviceNotFound", 404), "{properties}");
    }
}

#[test]
fn skip_list_and_policy_are_the_node_s() {
    let tree = machine();
    let skip = json!([{"name": "/dev/vda"}, {"volume_name": "data"}]);
    assert_eq!(for_node(&tree, json!({"properties": {"skip_block_devices": skip}})).unwrap(), "/dev/vdc");
    let ambiguous = |policy: Value| {
        let properties = json!({"root_device": {"size": 8}, "root_device_policy": policy});
        for_node(&tree, json!({ "properties": properties }))
    };
    assert_eq!(ambiguous(json!("first")).unwrap(), "/dev/vda");
    assert_eq!(ambiguous(Value::Null).unwrap(), "/dev/vda");
    assert!(matches!(ambiguous(json!("refuse")), Err(RootDeviceError::Ambiguous { .. })));
}

#[test]
fn an_array_made_for_the_system_comes_before_every_hint() {
    let tree = machine();
    for name in ["md0", "md1"] {
        tree.block(name, &format!("virtual/block/{name}"), 8 * GIB, &[("md/level", "raid1\n")]);
    }
    // md1 lies on vdc and on a partition of vda.
    tree.link("sys/block/md1/slaves/vdc", "sys/block/vdc");
    tree.write("sys/block/vda/vda1/partition", "1\n");
    tree.link("sys/block/md1/slaves/vda1", "sys/block/vda/vda1");
    let machine = tree.machine();
    let root = |hints: Value| machine.root_device(&json!({"properties": hints})).map(|disk| disk.name);
    machine.clone().set_root_volume("/dev/md0", true);
    assert_eq!(root(json!({"root_device": {"name": "/dev/vdb"}})).unwrap(), "/dev/md0");
    let skipped = root(json!({"skip_block_devices": [{"name": "/dev/md0"}]})).unwrap_err();
    assert!(matches!(&skipped, RootDeviceError::RootVolume { device, .. } if device == "/dev/md0"));
    // It is gone: nothing else is taken for it.
    machine.set_root_volume("/dev/md7", true);
    assert!(matches!(root(json!({})), Err(RootDeviceError::RootVolume { .. })));

    machine.forget_root_volumes();
    machine.set_root_volume("/dev/md1", false);
    for name in ["/dev/md1", "/dev/vda", "/dev/vdc"] {
        let refused = root(json!({"root_device": {"name": name}})).unwrap_err();
        assert!(matches!(refused, RootDeviceError::NoMatch { .. }), "{name}: {refused}");
    }
    assert_eq!(root(json!({})).unwrap(), "/dev/md0");
    machine.forget_root_volumes();
    assert_eq!(root(json!({"root_device": {"name": "/dev/vdc"}})).unwrap(), "/dev/vdc");
}
