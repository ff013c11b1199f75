//! The inventory of fixture trees (IPA contract §7.1).

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tacit_hardware::{Machine, Roots};

use crate::tree::Tree;

const GIB: u64 = 1 << 30;
const SATA: &str = "pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0";

/// SMBIOS structure of a kind with a body behind the header and its strings.
fn structure(kind: u8, body: &[u8], strings: &[&str]) -> Vec<u8> {
    let mut bytes = vec![kind, u8::try_from(4 + body.len()).unwrap(), 0, 0];
    bytes.extend_from_slice(body);
    for text in strings {
        bytes.extend_from_slice(text.as_bytes());
        bytes.push(0);
    }
    bytes.push(0);
    if strings.is_empty() {
        bytes.push(0);
    }
    bytes
}

fn smbios(serial: &str) -> Vec<u8> {
    let uuid =
        [0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff];
    let memory = [[0; 8].as_slice(), &[0, 0x20], &[0; 18]].concat();
    [
        structure(0, &[1, 2, 0, 0, 3], &["Firm Ware", "7.1", "01/02/2024"]),
        structure(1, &[[1, 2, 0, 3].as_slice(), &uuid, &[6, 0, 0]].concat(), &["Acme", "Anvil 3", serial]),
        structure(2, &[1, 2, 0, 3], &["Acme", "Board", "BOARD7"]),
        structure(17, &memory, &[]),
        structure(17, &memory, &[]),
        structure(127, &[], &[]),
    ]
    .concat()
}

fn machine() -> Tree {
    let tree = Tree::new();
    tree.write(
        "sys/firmware/dmi/tables/smbios_entry_point",
        b"_SM3_\0\x18\x03\x02\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
    );
    tree.write("sys/firmware/dmi/tables/DMI", smbios("SER9"));
    tree.write("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");
    tree.write("proc/cmdline", "quiet BOOTIF=01-aa-bb-cc-dd-ee-ff ro\n");
    tree.write("proc/sys/kernel/hostname", "ramdisk\n");
    let cpu = |n: u8, socket: u8| {
        format!(
            "processor\t: {n}\nmodel name\t: Fast CPU\ncpu MHz\t\t: 2000.125\nphysical id\t: {socket}\nflags\t\t: fpu sse\n\n"
        )
    };
    tree.write("proc/cpuinfo", [cpu(0, 0), cpu(1, 0), cpu(2, 1), cpu(3, 1)].concat());

    let page80: &[u8] = b"\0\x80\0\x08  WD-123";
    let page83 = [0, 0x83, 0, 12, 1, 3, 0, 8, 0x50, 0, 0xc5, 0, 1, 2, 3, 4];
    let attributes = [("queue/rotational", "1\n"), ("queue/discard_max_bytes", "0\n")];
    tree.block("sda", &format!("{SATA}/block/sda"), 200 * GIB, &attributes);
    tree.write(&format!("sys/devices/{SATA}/model"), "WD Blue         \n");
    tree.write(&format!("sys/devices/{SATA}/vendor"), "ATA     \n");
    tree.write(&format!("sys/devices/{SATA}/rev"), "1A01\n");
    tree.write("sys/devices/pci0000:00/0000:00:1f.2/numa_node", "1\n");
    tree.link("sys/bus/pci/devices/0000:00:1f.2", "sys/devices/pci0000:00/0000:00:1f.2");
    tree.write(&format!("sys/devices/{SATA}/vpd_pg80"), page80);
    tree.write(&format!("sys/devices/{SATA}/vpd_pg83"), page83);
    tree.write(&format!("sys/devices/{SATA}/scsi_device/0:0:0:0/x"), "");
    tree.write("sys/devices/pci0000:00/0000:00:1f.2/ata1/ata_port/ata1/port_no", "1\n");
    tree.link(&format!("sys/devices/{SATA}/block/sda/device"), &format!("sys/devices/{SATA}"));

    let nvme = "pci0000:00/0000:01:00.0/nvme/nvme0";
    tree.block(
        "nvme0n1",
        &format!("{nvme}/nvme0n1"),
        100 * GIB,
        &[("nsid", "1\n"), ("wwid", "eui.0025385b\n")],
    );
    tree.write(&format!("sys/devices/{nvme}/serial"), "S4EV      \n");
    tree.write(&format!("sys/devices/{nvme}/model"), "Samsung SSD\n");
    tree.link(&format!("sys/devices/{nvme}/nvme0n1/device"), &format!("sys/devices/{nvme}"));
    tree.block("vda", "pci0000:00/0000:00:05.0/virtio2/block/vda", 8 * GIB, &[("serial", "disk-1\n")]);
    for (name, attributes) in [
        ("loop0", vec![]),
        ("zram0", vec![]),
        ("ram0", vec![]),
        ("sr0", vec![]),
        ("fd0", vec![]),
        ("dm-0", vec![("dm/uuid", "LVM-abc\n")]),
        ("dm-1", vec![("dm/uuid", "mpath-3600\n")]),
        ("nvme1c0n1", vec![("hidden", "1\n")]),
        ("md0", vec![("md/level", "raid1\n")]),
        ("md1", vec![("md/level", "container\n")]),
        ("sdx", vec![("holders/dm-1/x", "")]),
    ] {
        tree.block(name, &format!("virtual/block/{name}"), GIB, &attributes);
    }
    tree.block("nbd0", "virtual/block/nbd0", 0, &[]);

    let net = "pci0000:00/0000:00:03.0";
    tree.write(&format!("sys/devices/{net}/vendor"), "0x8086\n");
    tree.write(&format!("sys/devices/{net}/device"), "0x1521\n");
    tree.write(&format!("sys/devices/{net}/numa_node"), "0\n");
    tree.write(&format!("sys/devices/{net}/index"), "2\n");
    tree.link(&format!("sys/devices/{net}/driver"), "sys/bus/pci/drivers/igb");
    for (name, address) in [("eth0", "52:54:00:AB:cd:01"), ("eth1", "fa:16:3e:00:00:01")] {
        tree.link(&format!("sys/class/net/{name}/device"), &format!("sys/devices/{net}"));
        tree.write(&format!("sys/class/net/{name}/address"), format!("{address}\n"));
    }
    tree.write("sys/class/net/eth0/carrier", "1\n");
    tree.write("sys/class/net/eth0/speed", "1000\n");
    tree.write("sys/class/net/lo/address", "00:00:00:00:00:00\n");
    tree.write("sys/class/net/bond0/address", "52:54:00:ab:cd:02\n");
    tree.write("sys/class/net/bond0/bonding/mode", "active-backup 1\n");
    tree.write("sys/class/net/bond0/bonding/slaves", "eth2 eth3\n");
    tree.write("sys/class/net/storage/address", "52:54:00:ab:cd:07\n");
    tree.write("proc/net/vlan/storage", "storage  VID: 7\t REORDER_HDR: 1\nDevice: bond0\nINGRESS\n");
    tree.write("sys/class/net/bond0/speed", "-1\n");
    tree.write("sys/class/net/eth0.100/address", "52:54:00:ab:cd:01\n");
    let infiniband = "80:00:02:08:fe:80:00:00:00:00:00:00:24:8a:07:03:00:aa:bb:cc";
    tree.link("sys/class/net/ib0/device", &format!("sys/devices/{net}"));
    tree.write("sys/class/net/ib0/address", infiniband);
    tree.write("sys/class/net/ib0/type", "32\n");
    tree
}

#[test]
fn disks_have_their_makers_names() {
    let tree = machine();
    let disks = tree.machine().disks();
    let names: Vec<_> = disks.iter().map(|disk| disk.name.as_str()).collect();
    assert_eq!(names, ["/dev/sda", "/dev/md0", "/dev/dm-1", "/dev/vda", "/dev/nvme0n1"]);
    let sata = json!({
        "name": "/dev/sda", "model": "WD Blue", "size": 200 * GIB, "rotational": true, "wwn": "0x5000c50001020304",
        "serial": "WD-123", "vendor": "ATA", "wwn_with_extension": "0x5000c50001020304",
        "wwn_vendor_extension": null, "hctl": "0:0:0:0",
        "by_path": "/dev/disk/by-path/pci-0000:00:1f.2-ata-1.0", "logical_sectors": 512,
        "physical_sectors": 4096, "tran": "sata", "firmware": "1A01", "removable": false, "read_only": false,
        "discard_max_bytes": 0, "provisioning": null, "numa_node": 1, "ineligible": []
    });
    assert_eq!(json!(disks[0]), sata);
    let nvme = &disks[4];
    assert_eq!(nvme.by_path.as_deref(), Some("/dev/disk/by-path/pci-0000:01:00.0-nvme-1"));
    assert_eq!((nvme.serial.as_deref(), nvme.wwn.as_deref()), (Some("S4EV"), Some("eui.0025385b")));
    assert_eq!((&nvme.wwn_with_extension, nvme.firmware.as_deref()), (&None, None));
    assert_eq!((nvme.model.as_deref(), nvme.tran.as_deref()), (Some("Samsung SSD"), Some("nvme")));
    assert_eq!((disks[3].serial.as_deref(), disks[3].tran.as_deref()), (Some("disk-1"), Some("virtio")));
}

#[test]
fn allow_list_hides_all_other_disks() {
    let tree = machine();
    let file = tree.write("images/disk.raw", [0; 4096]);
    tree.link("dev/disk/by-id/mine", "dev/vda");
    let only =
        vec![PathBuf::from("/dev/loop0"), file.clone(), "/dev/disk/by-id/mine".into(), "/dev/absent".into()];
    let disks = Machine::new(tree.roots(), Some(only)).disks();
    let names: Vec<_> = disks.iter().map(|disk| (disk.name.as_str(), disk.size)).collect();
    assert_eq!(names, [("/dev/loop0", GIB), ("/dev/vda", 8 * GIB), (file.to_str().unwrap(), 4096)]);
    assert!(Machine::new(tree.roots(), Some(Vec::new())).disks().is_empty());
}

#[test]
fn inventory_has_the_fields_of_ipa() {
    let tree = machine();
    let inventory = tree.machine().inventory();
    let names: Vec<_> =
        inventory.interfaces.iter().map(|i| (i.name.as_str(), i.mac_address.as_str())).collect();
    assert_eq!(
        names,
        [
            ("bond0", "52:54:00:ab:cd:02"),
            ("eth0", "52:54:00:ab:cd:01"),
            ("eth0.100", "52:54:00:ab:cd:01"),
            ("ib0", "24:8a:07:aa:bb:cc"),
            ("storage", "52:54:00:ab:cd:07"),
        ]
    );
    let [bond, _, vlan, _, named] = &inventory.interfaces[..] else { panic!("five interfaces") };
    assert_eq!(json!(bond.bond), json!({"mode": "active-backup", "members": ["eth2", "eth3"]}));
    assert_eq!(json!(vlan.vlan), json!({"id": 100, "parent": "eth0"}));
    assert_eq!(json!(named.vlan), json!({"id": 7, "parent": "bond0"}));
    assert_eq!(
        json!(inventory.interfaces[1]),
        json!({
            "name": "eth0", "mac_address": "52:54:00:ab:cd:01", "ipv4_address": null, "ipv6_address": null,
            "has_carrier": true, "lldp": null, "vendor": "0x8086", "product": "0x1521", "client_id": null,
            "biosdevname": "em2", "speed_mbps": 1000, "pci_address": "0000:00:03.0", "driver": "igb",
            "firmware": null, "current_mac": null, "numa_node": 0, "bond": null, "vlan": null
        })
    );
    assert_eq!(inventory.interfaces[0].speed_mbps, None);
    assert_eq!(
        inventory.interfaces[3].client_id.as_deref(),
        Some("ff:00:00:00:00:00:02:00:00:02:c9:00:24:8a:07:03:00:aa:bb:cc")
    );
    assert_eq!(
        json!(inventory.cpu),
        json!({
            "model_name": "Fast CPU", "frequency": "2000.125", "count": 4,
            "architecture": std::env::consts::ARCH, "flags": ["fpu", "sse"], "socket_count": 2
        })
    );
    assert_eq!(json!(inventory.memory), json!({"total": 16384 * 1024, "physical_mb": 16384}));
    assert_eq!(
        json!(inventory.system_vendor),
        json!({
            "product_name": "Anvil 3", "serial_number": "SER9", "manufacturer": "Acme",
            "firmware": {"vendor": "Firm Ware", "version": "7.1", "build_date": "01/02/2024"}
        })
    );
    assert_eq!(
        json!(inventory.boot),
        json!({
            "current_boot_mode": "bios", "pxe_interface": "01-aa-bb-cc-dd-ee-ff",
            "secure_boot": null, "setup_mode": null
        })
    );
    assert_eq!((inventory.hostname.as_str(), inventory.bmc_address), ("ramdisk", None));

    tree.write("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3500000\n");
    fs::create_dir_all(tree.path("sys/firmware/efi")).unwrap();
    let inventory = tree.machine().inventory();
    assert_eq!(inventory.cpu.frequency.as_deref(), Some("3500.0000"));
    assert_eq!(inventory.boot.current_boot_mode, "uefi");
}

#[test]
fn what_the_machine_trusts_and_computes_with_is_told() {
    let tree = machine();
    let inventory = tree.machine().inventory();
    assert_eq!((inventory.tpm, inventory.accelerators.len(), inventory.bmc_mac), (None, 0, None));

    tree.write("sys/class/tpm/tpm0/tpm_version_major", "2\n");
    tree.write("sys/class/tpm/tpm0/pcr-sha256/0", "00\n");
    for (name, value) in [("SecureBoot", 1), ("SetupMode", 0)] {
        let variable = format!("sys/firmware/efi/efivars/{name}-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        tree.write(&variable, [6, 0, 0, 0, value]);
    }
    let gpu = "sys/bus/pci/devices/0000:81:00.0";
    for (name, value) in [
        ("vendor", "0x10de\n"),
        ("device", "0x2330\n"),
        ("class", "0x030200\n"),
        ("subsystem_vendor", "0x10de\n"),
        ("subsystem_device", "0x16c1\n"),
        ("numa_node", "1\n"),
        ("current_link_speed", "16.0 GT/s PCIe\n"),
        ("max_link_speed", "32.0 GT/s PCIe\n"),
        ("current_link_width", "8\n"),
        ("max_link_width", "16\n"),
    ] {
        tree.write(&format!("{gpu}/{name}"), value);
    }
    for (address, class) in
        [("0000:00:02.0", "0x030000"), ("0000:82:00.0", "0x120000"), ("0000:83:00.0", "0x0b4000")]
    {
        for (name, value) in [("vendor", "0xabcd"), ("device", "0x0001"), ("class", class)] {
            tree.write(&format!("sys/bus/pci/devices/{address}/{name}"), value);
        }
    }
    let inventory = tree.machine().inventory();
    assert_eq!(json!(inventory.tpm), json!({"version": "2.0", "pcr_banks": ["sha256"]}));
    assert_eq!((inventory.boot.secure_boot, inventory.boot.setup_mode), (Some(true), Some(false)));
    let kinds: Vec<_> = inventory.accelerators.iter().map(|found| found.kind.as_str()).collect();
    assert_eq!(kinds, ["VGA controller", "3D controller", "processing accelerator", "co-processor"]);
    assert_eq!(
        json!(inventory.accelerators[1]),
        json!({
            "pci_address": "0000:81:00.0", "class": "030200", "kind": "3D controller", "vendor": "0x10de",
            "product": "0x2330", "subsystem_vendor": "0x10de", "subsystem_product": "0x16c1",
            "vendor_name": "NVIDIA", "product_name": "H100 SXM5 80GB", "driver": null, "numa_node": 1,
            "link": {"speed_gts": "16.0", "max_speed_gts": "32.0", "width": 8, "max_width": 16}
        })
    );
    assert_eq!((&inventory.accelerators[0].vendor_name, &inventory.accelerators[0].link), (&None, &None));

    // An old TPM under an old kernel; variables that are no flag.
    fs::remove_file(tree.path("sys/class/tpm/tpm0/tpm_version_major")).unwrap();
    tree.write("sys/class/tpm/tpm0/device/pcrs", "PCR-00: 00\n");
    tree.write("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", [6, 0, 0, 0]);
    let inventory = tree.machine().inventory();
    assert_eq!(inventory.tpm.unwrap().version.as_deref(), Some("1.2"));
    assert_eq!(inventory.boot.secure_boot, None);
}

#[test]
fn a_controller_that_does_not_answer_is_one_without_address() {
    let tree = machine();
    tree.write("dev/ipmi0", "");
    let inventory = tree.machine().inventory();
    assert_eq!(inventory.bmc_address.as_deref(), Some("0.0.0.0"));
    assert_eq!((inventory.bmc_v6address.as_deref(), inventory.bmc_mac), (Some("::/0"), None));
}

#[test]
fn identity_passes_over_what_vendors_leave_unfilled() {
    let tree = machine();
    let identity = tree.machine().identity();
    assert_eq!(identity.system_uuid.as_deref(), Some("00112233-4455-6677-8899-aabbccddeeff"));
    assert_eq!((identity.serial.as_deref(), identity.macs.len()), (Some("SER9"), 4));
    tree.write("sys/firmware/dmi/tables/DMI", smbios("To Be Filled By O.E.M."));
    assert_eq!(tree.machine().identity().serial.as_deref(), Some("BOARD7"));

    // Without raw tables the kernel's own reading is used.
    fs::remove_file(tree.path("sys/firmware/dmi/tables/DMI")).unwrap();
    tree.write("sys/class/dmi/id/product_uuid", "03000200-0400-0500-0006-000700080009\n");
    tree.write("sys/class/dmi/id/product_serial", "Q1\n");
    let identity = tree.machine().identity();
    assert_eq!((identity.system_uuid, identity.serial.as_deref()), (None, Some("Q1")));
}

#[test]
fn empty_trees_and_this_machine_are_read_without_error() {
    let empty = Tree::new().machine().inventory();
    assert!(empty.disks.is_empty() && empty.interfaces.is_empty() && empty.cpu.count == 0);
    let own = Machine::new(Roots::default(), None).inventory();
    assert!(own.cpu.count > 0 && own.memory.total.unwrap() > 0 && !own.hostname.is_empty());
}
