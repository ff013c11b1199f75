//! Which devices are shown, and parts of the inventory.

use std::fs;
use std::sync::Arc;

use serde_json::{Value, json};
use tacit_model::{BlockDevice, ProofResult};

use super::super::super::{DeviceKind, GenericHardwareManager, Managers, StepError};
use super::{Folder, Observer, run_as, step_with};
use crate::machine::{Machine, Roots};

const MIB: u64 = 1 << 20;

/// A machine with two disks that are files, and a program that knows them.
struct Bench {
    folder: Folder,
    machine: Machine,
    managers: Managers,
    disks: [String; 2],
}

impl Bench {
    fn new(description: &Value, cases: &str) -> Self {
        let folder = Folder::new();
        let mut all = json!({"message": "description", "protocol": 1, "name": "vendor", "version": "2"});
        for (key, value) in description.as_object().unwrap() {
            all[key] = value.clone();
        }
        folder.described(&all, &format!("steps) echo '{{\"message\":\"steps\",\"steps\":[]}}';;\n{cases}"));
        let disks = ["a", "b"].map(|name| {
            let path = folder.witness(name);
            fs::write(&path, vec![0xa5; 4 * MIB as usize]).unwrap();
            path
        });
        let machine = Machine::new(Roots::below(&folder.witness("tree")), Some(disks.to_vec()));
        let generic = Arc::new(GenericHardwareManager::new(machine.clone()));
        let managers = Managers::with_external(vec![generic], folder.path());
        managers.attach(&machine);
        Self { folder, machine, managers, disks: disks.map(|path| path.to_str().unwrap().to_owned()) }
    }

    fn names(&self) -> Vec<String> {
        self.machine.disks().into_iter().map(|disk| disk.name).collect()
    }

    fn wipe(&self) -> Result<super::StepOutcome, super::StepError> {
        run_as(&self.managers, "erase_devices_metadata", &json!({}), &json!({}), &Observer::default())
    }

    fn is_untouched(&self, disk: usize) -> bool {
        fs::read(&self.disks[disk]).unwrap().iter().all(|&byte| byte == 0xa5)
    }
}

#[test]
fn a_hidden_disk_is_not_cleaned() {
    let answer = json!({"message": "devices", "devices": [{"hide": "of the controller"}, "pass"]});
    let cases = format!("filter_device) cat >>\"$W/asked\"; echo \"$2\" >>\"$W/kinds\"; echo '{answer}';;");
    let bench = Bench::new(&json!({"filters": ["disk"]}), &cases);
    assert_eq!(bench.names(), [bench.disks[1].clone()]);
    let outcome = bench.wipe().unwrap();
    assert_eq!(outcome.manager, "generic_hardware_manager");
    assert_eq!(outcome.result["proofs"].as_array().unwrap().len(), 1);
    assert!(bench.is_untouched(0) && !bench.is_untouched(1));
    assert_eq!(bench.machine.inventory().disks.len(), 1);
    // Asked once: the devices are the same.
    assert_eq!(fs::read_to_string(bench.folder.witness("kinds")).unwrap(), "disk\n");
    let asked: Value = serde_json::from_slice(&fs::read(bench.folder.witness("asked")).unwrap()).unwrap();
    assert_eq!(asked["devices"][1]["name"], json!(bench.disks[1]));
}

#[test]
fn a_disk_is_described_by_who_knows_it_but_keeps_its_name() {
    let describe = |name: &str| {
        let device = json!({"name": name, "size": 4 * MIB, "rotational": false, "model": "Vendor X",
            "serial": "S1", "wwn": null, "vendor": null, "wwn_with_extension": null,
            "wwn_vendor_extension": null, "hctl": null, "by_path": null, "logical_sectors": 512,
            "physical_sectors": 512, "tran": null});
        json!({"message": "devices", "devices": [{"replace": device}, "pass"]})
    };
    let bench = Bench::new(&json!({"filters": ["disk"]}), "");
    let rename = |answer: &Value| {
        let description = json!({"message": "description", "protocol": 1, "name": "vendor", "version": "2",
            "filters": ["disk"]});
        let cases = format!(
            "steps) echo '{{\"message\":\"steps\",\"steps\":[]}}';;\nfilter_device) echo '{answer}';;"
        );
        bench.folder.described(&description, &cases);
    };
    rename(&describe(&bench.disks[0]));
    let disks = bench.machine.disks();
    assert_eq!((disks.len(), disks[0].model.as_deref()), (2, Some("Vendor X")));

    // Under another name, another disk would be erased. A change makes the program be asked anew.
    rename(&describe(&bench.disks[1]));
    fs::OpenOptions::new().append(true).open(&bench.disks[0]).unwrap().set_len(5 * MIB).unwrap();
    fs::OpenOptions::new().append(true).open(&bench.disks[1]).unwrap().set_len(5 * MIB).unwrap();
    assert_eq!(bench.names(), Vec::<String>::new());
    let error = bench.wipe().unwrap_err();
    assert!(error.details().contains("may not become another one"), "{}", error.details());
}

#[test]
fn a_filter_that_fails_hides_all_and_no_step_succeeds() {
    for cases in [
        "filter_device) exit 1;;",
        "filter_device) echo '{\"message\":\"devices\",\"devices\":[\"pass\"]}';;",
        "filter_device) echo '{\"message\":\"devices\",\"devices\":[\"pass\",\"hide\"]}';;",
        "filter_device) echo '{\"message\":\"devices\",\"devices\":[\"pass\",{\"replace\":7}]}';;",
    ] {
        let bench = Bench::new(&json!({"filters": ["disk"]}), cases);
        assert_eq!(bench.names(), Vec::<String>::new(), "{cases}");
        let error = bench.wipe().unwrap_err();
        assert_eq!(error.class(), "HardwareManagerConfigurationError", "{cases}");
        assert!(
            error.details().contains("filter_device (disk) of hardware manager vendor"),
            "{}",
            error.details()
        );
        assert!(bench.is_untouched(0) && bench.is_untouched(1));
    }
}

#[test]
fn parts_of_the_inventory_come_from_who_knows_them() {
    let memory = json!({"message": "inventory", "part": "memory", "value": {"total": 7, "physical_mb": 8}});
    let wrong = json!({"message": "inventory", "part": "cpu", "value": {"count": "many"}});
    let cases = format!("inventory) if [ $2 = memory ]; then echo '{memory}'; else echo '{wrong}'; fi;;");
    let bench = Bench::new(&json!({"inventory": ["memory", "cpu", "boot"]}), &cases);
    let inventory = bench.machine.inventory();
    assert_eq!((inventory.memory.total, inventory.memory.physical_mb), (Some(7), Some(8)));
    // What cannot be used leaves what was found.
    assert_eq!(inventory.boot.current_boot_mode, "bios");
    assert_eq!(inventory.disks.len(), 2);
}

#[test]
fn disks_that_only_a_program_knows() {
    let folder = Folder::new();
    let disk = folder.witness("disk");
    fs::write(&disk, vec![0xa5; 4 * MIB as usize]).unwrap();
    let told = json!({"message": "inventory", "part": "disks", "value": [{"name": disk, "size": 4 * MIB,
        "rotational": false}]});
    let description = json!({"message": "description", "protocol": 1, "name": "vendor", "version": "2",
        "inventory": ["disks"]});
    let cases = format!("steps) echo '{{\"message\":\"steps\",\"steps\":[]}}';;\ninventory) echo '{told}';;");
    folder.described(&description, &cases);
    for (only, expected) in [(None, 1), (Some(Vec::new()), 0)] {
        let machine = Machine::new(Roots::below(&folder.witness("tree")), only);
        let managers = folder.managers();
        managers.attach(&machine);
        assert_eq!(machine.disks().len(), expected);
    }
}

#[test]
fn disks_without_a_size_are_the_kernel_s_whoever_tells_the_list_of_disks() {
    let folder = Folder::new();
    let told = json!({"message": "inventory", "part": "disks", "value": [{"name": "/dev/vendor0", "size": MIB,
        "rotational": false}]});
    let description = json!({"message": "description", "protocol": 1, "name": "vendor", "version": "2",
        "inventory": ["disks"]});
    folder.described(&description, &format!("inventory) echo '{told}';;"));
    let dead = folder.witness("tree").join("sys/block/sda");
    fs::create_dir_all(&dead).unwrap();
    fs::write(dead.join("size"), "0\n").unwrap();
    let machine = Machine::new(Roots::below(&folder.witness("tree")), None);
    let managers = folder.managers();
    managers.attach(&machine);
    let names = |disks: Vec<BlockDevice>| disks.into_iter().map(|disk| disk.name).collect::<Vec<_>>();
    assert_eq!(names(machine.disks()), ["/dev/vendor0"]);
    assert_eq!(names(machine.disks_without_size()), ["/dev/sda"]);
}

#[test]
fn what_is_hidden_stays_hidden_however_many_devices_come() {
    // Hides all that it is asked about.
    let cases = "filter_device) printf '{\"message\":\"devices\",\"devices\":['; grep -o '\"name\"' | \
        sed -e 's/.*/{\"hide\":\"x\"},/' -e '$s/,$//' | tr -d '\\n'; echo ']}';;";
    let bench = Bench::new(&json!({"filters": ["disk"]}), cases);
    let device = |number: usize| json!({"name": format!("/dev/d{number}")});
    assert_eq!(bench.machine.filter(DeviceKind::Disk, vec![device(0)]), Vec::<Value>::new());
    assert_eq!(bench.machine.filter(DeviceKind::Disk, (0..4100).map(device).collect()), Vec::<Value>::new());
    assert_eq!(bench.machine.filter(DeviceKind::Disk, vec![device(0)]), Vec::<Value>::new());
}

#[test]
fn who_erases_in_our_place_accounts_for_every_disk() {
    let bench = Bench::new(&json!({}), "");
    let [a, b] = &bench.disks;
    let proof = |device: &str, result: &str| {
        json!({"device": device, "serial": null, "model": null, "method": "vendor-erase", "standard": "purge",
            "actions": ["it is cold"], "verification": ["read back"], "result": result})
    };
    let proven = |device: &str| proof(device, "proven");
    let keeps = json!([{"name": b}]);
    for (skip_list, proofs, failing) in [
        (json!(null), vec![proven(b), proven(a)], None),
        (json!(null), vec![proven(a)], Some((b.as_str(), "has no proof for it"))),
        (json!(null), vec![proven(a), proven(b), proven(a)], Some((a, "more than one proof"))),
        (json!(null), vec![proven(a), proven(b), proven("/dev/none")], Some(("/dev/none", "no such disk"))),
        (
            json!(null),
            vec![proven(a), proof(b, "skipped")],
            Some((b, "left it alone, and nothing of the node says so")),
        ),
        (keeps.clone(), vec![proven(a), proof(b, "skipped")], None),
        (keeps, vec![proven(a)], Some((b, "has no proof for it"))),
    ] {
        let step = step_with("erase_devices_metadata", &json!({"destructive": true}));
        let steps = json!({"message": "steps", "steps": [step]});
        let answer = json!({"message": "result", "step": "erase_devices_metadata", "proofs": proofs});
        let description = json!({"message": "description", "protocol": 1, "name": "vendor", "version": "2"});
        bench
            .folder
            .described(&description, &format!("steps) echo '{steps}';;\nrun_step) echo '{answer}';;"));
        let node = json!({"driver_info": {"agent_hardware_managers_may_erase": ["vendor"]},
            "properties": {"skip_block_devices": skip_list}});
        let observer = Observer::default();
        let outcome = run_as(&bench.managers, "erase_devices_metadata", &node, &json!({}), &observer);
        let Some((device, reason)) = failing else {
            assert_eq!(outcome.unwrap().manager, "vendor");
            continue;
        };
        let error = outcome.unwrap_err();
        let StepError::Erase { failures, proofs, touched: true } = &error else { panic!("{error}") };
        assert_eq!((failures.len(), failures[0].device.as_str()), (1, device));
        assert!(failures[0].reason.contains(reason), "{error}");
        // What is proven of the others stays proven.
        assert_eq!(proofs.len(), 2);
        let held = proofs.iter().filter(|proof| proof.result != ProofResult::Failed);
        assert!(
            held.clone().all(|proof| proof.device != device && proof.claimed_by.as_deref() == Some("vendor"))
        );
        assert_eq!(held.count(), if device == "/dev/none" { 2 } else { 1 });
    }
}
