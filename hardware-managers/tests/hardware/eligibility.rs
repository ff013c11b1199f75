//! Why a system should not be put on a disk, and what multipath devices tell.

use serde_json::json;
use tacit_hardware::{RootDeviceError, select_root_device};
use tacit_model::BlockDevice;

use crate::tree::Tree;

const GIB: u64 = 1 << 30;

fn disk(tree: &Tree, name: &str) -> BlockDevice {
    let wanted = format!("/dev/{name}");
    tree.machine().disks().into_iter().find(|disk| disk.name == wanted).unwrap()
}

/// A disk with a partition `…1` whose numbers are 8:16 and 8:17.
fn partitioned(tree: &Tree, name: &str) {
    let device = format!("pci0000:00/0000:00:0b.0/virtio3/block/{name}");
    let partition = format!("{name}1");
    tree.block(
        name,
        &device,
        8 * GIB,
        &[
            ("dev", "8:16\n"),
            (&format!("{partition}/dev"), "8:17\n"),
            (&format!("{partition}/partition"), "1\n"),
        ],
    );
}

#[test]
fn a_disk_that_nobody_uses_is_eligible() {
    let tree = Tree::new();
    partitioned(&tree, "vdb");
    tree.write("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n");
    assert_eq!(disk(&tree, "vdb").ineligible, [] as [&str; 0]);
}

#[test]
fn uses_of_a_disk_and_its_partitions_are_reasons() {
    let tree = Tree::new();
    partitioned(&tree, "vdb");
    tree.write(
        "proc/self/mountinfo",
        "30 1 8:17 / /mnt/a\\040b rw,relatime shared:1 - ext4 /dev/vdb1 rw\n31 1 0:40 / /srv rw - btrfs /dev/vdb rw\n",
    );
    tree.write("proc/swaps", "Filename\tType\tSize\tUsed\tPriority\n/dev/vdb1 partition 1024 0 -2\n");
    tree.link("sys/block/vdb/vdb1/holders/md0", "sys/devices/virtual/block/md0");
    tree.link("sys/block/vdb/holders/dm-3", "sys/devices/virtual/block/dm-3");
    assert_eq!(
        disk(&tree, "vdb").ineligible,
        [
            "/dev/vdb is mounted at /srv",
            "/dev/vdb is a part of /dev/dm-3",
            "/dev/vdb1 is mounted at /mnt/a b",
            "/dev/vdb1 is used as swap",
            "/dev/vdb1 is a member of the RAID array /dev/md0",
        ]
    );
}

#[test]
fn small_read_only_removable_and_virtual_disks_are_not_eligible() {
    let tree = Tree::new();
    let small = [("ro", "1\n")];
    tree.block("vdc", "pci0000:00/0000:00:0c.0/virtio4/block/vdc", GIB, &small);
    assert_eq!(
        disk(&tree, "vdc").ineligible,
        ["it has 1073741824 bytes, less than 4 GiB", "it is read-only"]
    );
    let usb = "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0";
    tree.block("sdb", &format!("{usb}/block/sdb"), 16 * GIB, &[("removable", "1\n")]);
    tree.write(&format!("sys/devices/{usb}/vendor"), "AMI\n");
    tree.write(&format!("sys/devices/{usb}/model"), "Virtual HDisk0\n");
    tree.link(&format!("sys/devices/{usb}/block/sdb/device"), &format!("sys/devices/{usb}"));
    let virtual_medium = ["its medium is removable", "it is a virtual medium of the management controller"];
    assert_eq!(disk(&tree, "sdb").ineligible, virtual_medium);
    // A medium to boot from, of somebody else.
    tree.write(&format!("sys/devices/{usb}/vendor"), "ACME\n");
    tree.write(&format!("sys/devices/{usb}/model"), "Stick\n");
    let mut iso = vec![0; 16 * 2048 + 6];
    iso[16 * 2048..].copy_from_slice(b"\x01CD001");
    tree.write("dev/sdb", iso);
    assert_eq!(
        disk(&tree, "sdb").ineligible,
        ["its medium is removable", "a ramdisk boots from it: it holds an ISO 9660 file system"]
    );
    // The controller's is not read, since its server may be gone.
    tree.write(&format!("sys/devices/{usb}/vendor"), "AMI\n");
    assert_eq!(disk(&tree, "sdb").ineligible, virtual_medium);
    // The disk of a virtual machine calls itself virtual, too, and is none of the controller's.
    let scsi = "pci0000:00/0000:03:00.0/host0/target0:0:0/0:0:0:0";
    tree.block("sda", &format!("{scsi}/block/sda"), 16 * GIB, &[]);
    tree.write(&format!("sys/devices/{scsi}/vendor"), "VMware\n");
    tree.write(&format!("sys/devices/{scsi}/model"), "Virtual disk\n");
    tree.link(&format!("sys/devices/{scsi}/block/sda/device"), &format!("sys/devices/{scsi}"));
    assert_eq!(disk(&tree, "sda").ineligible, [] as [&str; 0]);

    // Without hints the eligible one is taken although others are smaller; a hint is the operator's own word.
    let disks = tree.machine().disks();
    assert_eq!(select_root_device(&disks, None).unwrap().name, "/dev/sda");
    let named = select_root_device(&disks, Some(&json!({"name": "/dev/sdb"}))).unwrap();
    assert_eq!(named.name, "/dev/sdb");
    let left: Vec<BlockDevice> = disks.into_iter().filter(|disk| disk.name != "/dev/sda").collect();
    let error = select_root_device(&left, None).unwrap_err();
    assert!(matches!(error, RootDeviceError::TooSmall { .. }));
    let text = error.to_string();
    assert!(
        text.contains("/dev/sdb: its medium is removable") && text.contains("/dev/vdc: 1073741824 bytes"),
        "{text}"
    );
}

#[test]
fn a_medium_that_does_not_answer_holds_up_nobody_and_is_not_taken() {
    let tree = Tree::new();
    let usb = "pci0000:00/0000:00:14.0/usb1/1-2/1-2:1.0/host4/target4:0:0/4:0:0:0";
    tree.block("sdb", &format!("{usb}/block/sdb"), 16 * GIB, &[]);
    tree.link(&format!("sys/devices/{usb}/block/sdb/device"), &format!("sys/devices/{usb}"));
    // Nobody ever opens the other end.
    let made = std::process::Command::new("mkfifo").arg(tree.path("dev/sdb")).status().unwrap();
    assert!(made.success());
    for _ in 0..2 {
        assert_eq!(disk(&tree, "sdb").ineligible, ["it does not answer within 5 s"]);
    }
}

#[test]
fn a_multipath_device_is_known_by_its_paths() {
    let tree = Tree::new();
    let page83 = [0, 0x83, 0, 12, 1, 3, 0, 8, 0x50, 0, 0xc5, 0, 1, 2, 3, 4];
    for (name, host) in [("sda", 0), ("sdb", 1)] {
        let device =
            format!("pci0000:00/0000:03:00.{host}/host{host}/rport-{host}:0-0/target{host}:0:0/{host}:0:0:0");
        tree.block(name, &format!("{device}/block/{name}"), 64 * GIB, &[("holders/dm-0/x", "")]);
        for (attribute, value) in [("vendor", "ACME\n"), ("model", "Array\n"), ("rev", "0907\n")] {
            tree.write(&format!("sys/devices/{device}/{attribute}"), value);
        }
        tree.write(&format!("sys/devices/{device}/vpd_pg80"), b"\0\x80\0\x04LUN1");
        tree.write(&format!("sys/devices/{device}/vpd_pg83"), page83);
        tree.link(&format!("sys/devices/{device}/block/{name}/device"), &format!("sys/devices/{device}"));
        tree.link(
            &format!("sys/devices/virtual/block/dm-0/slaves/{name}"),
            &format!("sys/devices/{device}/block/{name}"),
        );
    }
    tree.block("dm-0", "virtual/block/dm-0", 64 * GIB, &[("dm/uuid", "mpath-35000c50001020304\n")]);
    let disks = tree.machine().disks();
    let [disk] = &disks[..] else { panic!("the paths are hidden: {disks:?}") };
    assert_eq!((disk.name.as_str(), disk.serial.as_deref()), ("/dev/dm-0", Some("LUN1")));
    assert_eq!((disk.wwn.as_deref(), disk.tran.as_deref()), (Some("0x5000c50001020304"), Some("fc")));
    assert_eq!((disk.vendor.as_deref(), disk.model.as_deref()), (Some("ACME"), Some("Array")));
    // The place of one path is not the place of the disk.
    assert_eq!((&disk.hctl, &disk.by_path), (&None, &None));
    assert_eq!(disk.ineligible, [] as [&str; 0]);
    for hints in [
        json!({"serial": "LUN1"}),
        json!({"serial": "35000c50001020304"}),
        json!({"wwn": "0x5000c50001020304"}),
    ] {
        assert_eq!(select_root_device(&disks, Some(&hints)).unwrap().name, "/dev/dm-0");
    }
}

#[test]
fn a_multipath_nvme_namespace_is_listed_once_with_the_place_of_its_controller() {
    let tree = Tree::new();
    let subsystem = "virtual/nvme-subsystem/nvme-subsys0";
    let controller = "pci0000:00/0000:01:00.0/nvme/nvme0";
    tree.block(
        "nvme0n1",
        &format!("{subsystem}/nvme0n1"),
        64 * GIB,
        &[("nsid", "1\n"), ("wwid", "eui.01\n")],
    );
    tree.block(
        "nvme0c0n1",
        &format!("{controller}/nvme0c0n1"),
        64 * GIB,
        &[("hidden", "1\n"), ("nsid", "1\n")],
    );
    for (attribute, value) in [("model", "ACME Fast\n"), ("serial", "N1\n"), ("firmware_rev", "2.0\n")] {
        tree.write(&format!("sys/devices/{subsystem}/{attribute}"), value);
    }
    tree.link(&format!("sys/devices/{subsystem}/nvme0"), &format!("sys/devices/{controller}"));
    tree.link(&format!("sys/devices/{subsystem}/nvme0n1/device"), &format!("sys/devices/{subsystem}"));
    let disks = tree.machine().disks();
    let [disk] = &disks[..] else { panic!("one namespace: {disks:?}") };
    assert_eq!(disk.by_path.as_deref(), Some("/dev/disk/by-path/pci-0000:01:00.0-nvme-1"));
    assert_eq!((disk.serial.as_deref(), disk.firmware.as_deref()), (Some("N1"), Some("2.0")));
    assert_eq!((disk.tran.as_deref(), disk.model.as_deref()), (Some("nvme"), Some("ACME Fast")));
}

#[test]
fn mount_points_may_have_any_name() {
    let tree = Tree::new();
    partitioned(&tree, "vdb");
    tree.write(
        "proc/self/mountinfo",
        b"29 1 0:9 / /mnt/caf\xe9 rw - tmpfs x rw\n30 1 8:17 / /srv rw - ext4 /dev/vdb1 rw\n",
    );
    assert_eq!(disk(&tree, "vdb").ineligible, ["/dev/vdb1 is mounted at /srv"]);
}

#[test]
fn partitions_of_a_multipath_disk_are_no_use_of_it_and_their_uses_are() {
    let tree = Tree::new();
    tree.block("dm-0", "virtual/block/dm-0", 64 * GIB, &[("dm/uuid", "mpath-3600\n"), ("dev", "253:0\n")]);
    let part = [("dm/uuid", "part1-mpath-3600\n"), ("dev", "253:1\n")];
    tree.block("dm-1", "virtual/block/dm-1", GIB, &part);
    tree.link("sys/block/dm-0/holders/dm-1", "sys/devices/virtual/block/dm-1");
    assert_eq!(disk(&tree, "dm-0").ineligible, [] as [&str; 0]);
    tree.write("proc/self/mountinfo", "30 1 253:1 / /srv rw - ext4 /dev/mapper/mpatha1 rw\n");
    assert_eq!(disk(&tree, "dm-0").ineligible, ["/dev/dm-1 is mounted at /srv"]);
}
