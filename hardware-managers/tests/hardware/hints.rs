//! Choice of the root device (IPA contract §6).

use serde_json::{Value, json};
use tacit_hardware::hints::HintError;
use tacit_hardware::{RootDeviceError, RootDeviceHints, select_root_device};
use tacit_model::BlockDevice;

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
