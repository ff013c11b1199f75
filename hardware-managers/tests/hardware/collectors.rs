//! The collectors of an inspection (IPA contract §7.2).

use std::str::FromStr;

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert_eq, proptest};
use serde_json::{Value, json};
use tacit_hardware::{Collector, CollectorError, Inspection};

use crate::smbios::{Structure, by_dmidecode, install};
use crate::tree::Tree;

const GIB: u64 = 1 << 30;

fn collected(tree: &Tree, collector: Collector) -> Value {
    tree.machine().collect(collector).unwrap()
}

#[test]
fn names_are_those_of_ironic_python_agent() {
    for name in ["default", "pci-devices", "numa-topology", "dmi-decode", "usb-devices", "lldp", "logs"] {
        assert_eq!(Collector::from_str(name).unwrap().to_string(), name);
    }
    let error = Collector::from_str("extra-hardware").unwrap_err().to_string();
    assert!(error.contains("extra-hardware") && error.contains("pci-devices, numa-topology"), "{error}");
}

#[test]
fn pci_devices() {
    let tree = Tree::new();
    let device = "sys/bus/pci/devices/0000:00:1f.2";
    for (name, value) in [
        ("vendor", "0x8086\n"),
        ("device", "0x2922\n"),
        ("class", "0x010601\n"),
        ("revision", "0x02\n"),
        ("numa_node", "-1\n"),
    ] {
        tree.write(&format!("{device}/{name}"), value);
    }
    // Bare, and one that does not tell enough.
    for (name, value) in [("vendor", "0x1af4\n"), ("device", "0x1042\n"), ("class", "0x010000\n")] {
        tree.write(&format!("sys/bus/pci/devices/0000:00:02.0/{name}"), value);
    }
    tree.write("sys/bus/pci/devices/0000:00:03.0/vendor", "0x1af4\n");
    assert_eq!(
        collected(&tree, Collector::PciDevices),
        json!({"pci_devices": [
            {"vendor_id": "1af4", "product_id": "1042", "class": "010000", "revision": null,
             "bus": "0000:00:02.0", "numa_node_id": null},
            {"vendor_id": "8086", "product_id": "2922", "class": "010601", "revision": "02",
             "bus": "0000:00:1f.2", "numa_node_id": "-1"},
        ]})
    );
}

#[test]
fn numa_topology() {
    let tree = Tree::new();
    for (node, cpus) in [(0, [(0, 0), (1, 4), (8, 0)]), (1, [(2, 0), (3, 4), (10, 0)])] {
        let folder = format!("sys/devices/system/node/node{node}");
        let memory = format!("Node {node} MemTotal:       {} kB\nNode {node} MemFree: 1 kB\n", 1000 + node);
        tree.write(&format!("{folder}/meminfo"), memory);
        for (thread, core) in cpus {
            tree.write(&format!("{folder}/cpu{thread}/topology/core_id"), format!("{core}\n"));
        }
        tree.write(&format!("{folder}/cpulist"), "0-2\n");
    }
    // Offline.
    tree.write("sys/devices/system/node/node1/cpu11/online", "0\n");
    tree.write("sys/devices/system/node/has_cpu", "0-1\n");
    tree.write("sys/class/net/eth0/device/numa_node", "1\n");
    tree.write("sys/class/net/eth1/device/numa_node", "-1\n");
    tree.write("sys/class/net/lo/address", "00:00:00:00:00:00\n");
    assert_eq!(
        collected(&tree, Collector::NumaTopology),
        json!({"numa_topology": {
            "ram": [{"numa_node": 0, "size_kb": 1000}, {"numa_node": 1, "size_kb": 1001}],
            "cpus": [
                {"cpu": 0, "numa_node": 0, "thread_siblings": [0, 8]},
                {"cpu": 4, "numa_node": 0, "thread_siblings": [1]},
                {"cpu": 0, "numa_node": 1, "thread_siblings": [2, 10]},
                {"cpu": 4, "numa_node": 1, "thread_siblings": [3]},
            ],
            "nics": [{"name": "eth0", "numa_node": 1}, {"name": "eth1", "numa_node": -1}],
        }})
    );
}

#[test]
fn usb_devices() {
    let tree = Tree::new();
    let devices: [(&str, &[(&str, &str)]); 4] = [
        ("usb1", &[("idVendor", "1d6b"), ("idProduct", "0002"), ("bDeviceClass", "09")]),
        (
            "1-1",
            &[
                ("idVendor", "0424"),
                ("idProduct", "2514"),
                ("bDeviceClass", "09"),
                ("busnum", "1"),
                ("devnum", "2"),
            ],
        ),
        (
            "1-1.4",
            &[
                ("idVendor", "0781"),
                ("idProduct", "5567"),
                ("bDeviceClass", "00"),
                ("busnum", "1"),
                ("devnum", "5"),
                ("product", "Cruzer Blade\n"),
                ("manufacturer", "SanDisk\n"),
                ("serial", "4C53\n"),
                ("speed", "480\n"),
            ],
        ),
        (
            "1-2",
            &[
                ("idVendor", "046b"),
                ("idProduct", "ff10"),
                ("bDeviceClass", "00"),
                ("busnum", "1"),
                ("devnum", "3"),
            ],
        ),
    ];
    for (port, attributes) in devices {
        for (name, value) in attributes {
            tree.write(&format!("sys/bus/usb/devices/{port}/{name}"), value);
        }
    }
    tree.write("sys/bus/usb/devices/1-1.4:1.0/bInterfaceClass", "08\n");
    for interface in ["1-2:1.0", "1-2:1.1"] {
        tree.write(&format!("sys/bus/usb/devices/{interface}/bInterfaceClass"), "03\n");
    }
    assert_eq!(
        collected(&tree, Collector::UsbDevices),
        json!({"usb_devices": [
            {"product": "Cruzer Blade", "vendor": "SanDisk", "handle": "USB:1:5", "vendor_id": "0781",
             "product_id": "5567", "serial": "4C53", "port": "1-1.4", "classes": ["08"], "speed_mbps": "480"},
            {"product": "ff10", "vendor": "046b", "handle": "USB:1:3", "vendor_id": "046b", "product_id": "ff10",
             "serial": null, "port": "1-2", "classes": ["03"], "speed_mbps": null},
        ]})
    );
}

#[test]
fn what_a_machine_lacks_is_named() {
    let tree = Tree::new();
    for collector in [Collector::PciDevices, Collector::NumaTopology, Collector::DmiDecode] {
        let errors = tree.machine().collect(collector).unwrap_err();
        assert!(matches!(errors[..], [CollectorError::Absent { .. }]), "{errors:?}");
    }
    assert!(matches!(
        tree.machine().collect(Collector::Logs).unwrap_err()[..],
        [CollectorError::Logs { .. }]
    ));
    assert_eq!(collected(&tree, Collector::UsbDevices), json!({"usb_devices": []}));
}

#[test]
fn an_inspection_is_one_document_and_no_failure_ends_it() {
    let tree = Tree::new();
    tree.disk("vda", 8 * GIB);
    tree.write("proc/cmdline", "BOOTIF=01-52-54-00-00-00-01\n");
    let order = std::cell::RefCell::new(0);
    let logs = || {
        *order.borrow_mut() += 1;
        Ok("H4sI".to_owned())
    };
    let inspection = Inspection {
        collectors: &[Collector::Logs, Collector::PciDevices, Collector::Default, Collector::Lldp],
        managers: vec![("generic_hardware_manager".into(), "1.2".into())],
        lldp_patience: std::time::Duration::from_secs(600),
        logs: Some(&logs),
    };
    let data = tree.machine().inspect(&inspection);
    let keys: Vec<&String> = data.as_object().unwrap().keys().collect();
    assert_eq!(
        keys,
        ["root_disk", "boot_interface", "configuration", "inventory", "lldp_raw", "logs", "error"]
    );
    assert_eq!(data["root_disk"], data["inventory"]["disks"][0]);
    assert_eq!((&data["boot_interface"], &data["lldp_raw"]), (&json!("01-52-54-00-00-00-01"), &json!({})));
    assert_eq!((&data["logs"], order.into_inner()), (&json!("H4sI"), 1));
    assert_eq!(
        data["configuration"],
        json!({
            "collectors": ["logs", "pci-devices", "default", "lldp"],
            "managers": [{"name": "generic_hardware_manager", "version": "1.2"}]
        })
    );
    let error = data["error"].as_str().unwrap();
    assert!(
        error.starts_with("The following errors were encountered:\n* collector pci-devices failed: "),
        "{error}"
    );
    // A machine without a disk to deploy to is inspected all the same.
    let bare = Tree::new().machine().inspect(&Inspection::of(&[Collector::Default]));
    assert_eq!((bare.get("root_disk"), &bare["error"]), (None, &Value::Null));
}

fn structure(kind: u8, length: usize, texts: &[&str]) -> Structure {
    Structure {
        kind,
        body: vec![0; length - 4],
        strings: texts.iter().map(|text| (*text).to_owned()).collect(),
    }
}

/// Sets a little-endian number at its place in the structure, counted with the header.
fn set(structure: &mut Structure, at: usize, bytes: &[u8]) {
    structure.body[at - 4..at - 4 + bytes.len()].copy_from_slice(bytes);
}

#[test]
fn dmi_has_the_fields_of_dmidecode() {
    let tree = Tree::new();
    let mut bios = structure(0, 0x18, &["Firm Ware", "7.1", "01/02/2024"]);
    for (at, bytes) in
        [(4, &[1, 2][..]), (6, &[0, 0xe8, 3, 0xff]), (0x0a, &[0x80, 0, 1]), (0x12, &[1, 8, 5, 17, 255, 255])]
    {
        set(&mut bios, at, bytes);
    }
    let mut array = structure(16, 0x17, &[]);
    set(&mut array, 4, &[3, 3, 6, 0, 0, 0, 6, 0xfe, 0xff, 4, 0]);
    let mut module = structure(17, 0x28, &["DIMM A1", "Acme"]);
    for (at, bytes) in [
        (4, &[0x12, 0, 0xfe, 0xff, 72, 0, 64, 0, 0xff, 0x7f, 9, 0, 1, 0, 26, 0x80, 0x20][..]),
        (0x15, &[0x80, 0x0c, 2]),
        (0x1b, &[2, 0, 0x80, 0, 0, 0x75, 0x0b, 0xb0, 4, 0xe2, 4, 0xb0, 4]),
    ] {
        set(&mut module, at, bytes);
    }
    let empty = structure(17, 0x28, &[]);
    install(&tree, (3, 2), &[bios, array, module, empty]);
    let dmi = collected(&tree, Collector::DmiDecode);
    assert_eq!(
        dmi["dmi"]["bios"],
        json!({
            "Handle": "Handle 0x0011, DMI type 0, 24 bytes", "Vendor": "Firm Ware", "Version": "7.1",
            "Release Date": "01/02/2024", "Address": "0xE8000", "Runtime Size": "96 kB", "ROM Size": "16 MB",
            "Characteristics": ["PCI is supported", "Selectable boot is supported", "ACPI is supported", "UEFI is supported"],
            "BIOS Revision": "5.17"
        })
    );
    assert_eq!(dmi["dmi"]["cpu"], json!([]));
    let memory = &dmi["dmi"]["memory"];
    assert_eq!(
        (&memory["Maximum Capacity"], &memory["Number Of Devices"], &memory["Error Correction Type"]),
        (&json!("96 GB"), &json!(4), &json!("Multi-bit ECC"))
    );
    let devices = memory["devices"].as_array().unwrap();
    assert_eq!((devices.len(), &devices[1]["Size"]), (2, &json!("No Module Installed")));
    assert_eq!(
        devices[0],
        json!({
            "Handle": "Handle 0x0013, DMI type 17, 40 bytes", "Array Handle": "0x0012",
            "Error Information Handle": "Not Provided", "Total Width": "72 bits", "Data Width": "64 bits",
            "Size": "32 GB", "Form Factor": "DIMM", "Set": "None", "Locator": "DIMM A1",
            "Bank Locator": "Not Specified", "Type": "DDR4", "Type Detail": "Synchronous Registered (Buffered)",
            "Speed": "3200 MT/s", "Manufacturer": "Acme", "Serial Number": "Not Specified",
            "Asset Tag": "Not Specified", "Part Number": "Not Specified", "Rank": "2",
            "Configured Memory Speed": "2933 MT/s", "Minimum Voltage": "1.2 V", "Maximum Voltage": "1.25 V",
            "Configured Voltage": "1.2 V"
        })
    );
}

fn any_structure() -> impl Strategy<Value = Structure> {
    let kind = prop::sample::select(vec![0_u8, 4, 16, 17]);
    // Strings that are blank look like empty lists in text, which is nothing to agree on.
    let texts = prop::collection::vec("[A-Za-z0-9(][ -9;-~]{0,12}", 0..4);
    (kind, prop::collection::vec(any::<u8>(), 0x0f..0x60), texts).prop_map(|(kind, mut body, strings)| {
        // Lengths that the specification gives to these types, so that no newer field lies in the noise.
        let lengths: &[usize] = match kind {
            0 => &[0x12, 0x13, 0x14, 0x18, 0x1a],
            4 => &[0x1a, 0x20, 0x23, 0x28, 0x2a, 0x30],
            16 => &[0x0f, 0x17],
            _ => &[0x15, 0x17, 0x1b, 0x1c, 0x22, 0x28, 0x54, 0x5c],
        };
        let wanted = lengths[body.len() % lengths.len()] - 4;
        body.resize(wanted, 3);
        // 80386 and 80486 have identifications of their own kind, which nobody needs any more.
        if kind == 4 && matches!(body[2], 5 | 6) {
            body[2] = 0xb3;
        }
        Structure { kind, body, strings }
    })
}

proptest! {
    /// Whatever stands in the tables, both read the same; where `dmidecode` is older than a word of ours, it says that
    /// the code is unknown to it.
    #[test]
    fn dmi_agrees_with_dmidecode(structures in prop::collection::vec(any_structure(), 0..6), minor in 0_u8..8) {
        let tree = Tree::new();
        install(&tree, (3, minor), &structures);
        let Some(theirs) = by_dmidecode(&tree.path(""), (3, minor), &structures) else { return Ok(()) };
        let mut ours = collected(&tree, Collector::DmiDecode)["dmi"].clone();
        forgive_older_words(&mut ours, &theirs);
        prop_assert_eq!(ours, theirs);
    }
}

fn forgive_older_words(ours: &mut Value, theirs: &Value) {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            for (key, value) in ours {
                forgive_older_words(value, theirs.get(key).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(ours), Value::Array(theirs)) => {
            ours.iter_mut().zip(theirs).for_each(|(ours, theirs)| forgive_older_words(ours, theirs));
        }
        (ours @ Value::String(_), Value::String(word)) if word == "<OUT OF SPEC>" => *ours = theirs.clone(),
        _ => {}
    }
}
