//! The steps on a fixture tree, with an md driver that is played: it writes real superblocks and the sysfs files that
//! the kernel would show, and misbehaves when it is told to.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tacit_blockdev::{Access, Device, Error};

use super::mdadm::{Md, NewArray};
use super::step::{Work, run};
use super::superblock::{find, tests::version_1_2};
use crate::machine::{Machine, Roots};
use crate::managers::{Silent, StepContext, StepError};
use crate::partitions::{read_valid, scan};
use crate::program::ProgramError;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const START_RO: &str = "sys/module/md_mod/parameters/start_ro";

struct PlayedMd {
    folder: tempfile::TempDir,
    calls: RefCell<Vec<String>>,
    /// Creates arrays without their last member, which an addition does not bring back.
    loses_member: Cell<bool>,
    /// Says that it stopped and did not.
    never_stops: Cell<bool>,
}

impl PlayedMd {
    /// A machine with `vda`, `vdb`, … of these sizes.
    fn new(sizes: &[u64], uefi: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let played = Self {
            folder,
            calls: RefCell::default(),
            loses_member: Cell::new(false),
            never_stops: Cell::new(false),
        };
        for (letter, size) in ('a'..).zip(sizes) {
            let name = format!("vd{letter}");
            played.write(&format!("sys/block/{name}/size"), &format!("{}\n", size / 512));
            played.write(&format!("sys/block/{name}/queue/rotational"), "0\n");
            played.write(&format!("sys/block/{name}/serial"), &format!("SERIAL-{letter}\n"));
            played.write(&format!("dev/{name}"), "");
            fs::OpenOptions::new()
                .write(true)
                .open(played.path(&format!("dev/{name}")))
                .unwrap()
                .set_len(*size)
                .unwrap();
        }
        played.write(START_RO, "0");
        if uefi {
            played.write("sys/firmware/efi/fw_platform_size", "64\n");
        }
        played
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn machine(&self) -> Machine {
        Machine::new(Roots::below(self.folder.path()), None)
    }

    fn step(&self, node: &Value, work: Work<'_>, dry_run: bool) -> Result<Value, StepError> {
        let args: Map<String, Value> = [("dry_run".to_owned(), json!(dry_run))].into_iter().collect();
        let context = StepContext { node, ports: &json!([]), args: &args, observer: &Silent };
        run(&self.machine(), &context, self, work)
    }

    fn create(&self, node: &Value, config: &Value) -> Result<Value, StepError> {
        self.step(node, Work { config: Some(config), delete: false }, false)
    }

    fn delete(&self, node: &Value) -> Result<Value, StepError> {
        self.step(node, Work { config: None, delete: true }, false)
    }

    /// What the kernel shows of an array that runs.
    fn show(&self, name: &str, level: u32, disks: u32, members: &[String], state: &str) {
        let base = format!("sys/block/{name}");
        for (number, member) in members.iter().enumerate() {
            self.write(&format!("{base}/md/dev-{member}/state"), "in_sync\n");
            self.write(&format!("{base}/md/dev-{member}/slot"), &format!("{number}\n"));
        }
        for (file, content) in [
            ("level", format!("raid{level}")),
            ("raid_disks", disks.to_string()),
            ("metadata_version", "1.2".to_owned()),
            ("degraded", (disks as usize - members.len()).to_string()),
            ("sync_action", "idle".to_owned()),
            ("array_state", state.to_owned()),
        ] {
            self.write(&format!("{base}/md/{file}"), &format!("{content}\n"));
        }
        self.write(&format!("{base}/size"), &format!("{}\n", 8 * MIB / 512));
        fs::File::create(self.path(&format!("dev/{name}"))).unwrap().set_len(8 * MIB).unwrap();
    }

    /// Disk and offset of a partition's node.
    fn place(&self, node: &Path) -> (String, u64, u64) {
        let name = node.file_name().unwrap().to_str().unwrap();
        let disk = name[..3].to_owned();
        let number = |file: &str| {
            let text = fs::read_to_string(self.path(&format!("sys/block/{disk}/{name}/{file}"))).unwrap();
            text.trim().parse::<u64>().unwrap() * 512
        };
        (disk.clone(), number("start"), number("size"))
    }

    fn disk(&self, name: &str) -> Device {
        Device::open(&self.path(&format!("dev/{name}")), Access::ReadWrite).unwrap()
    }

    fn bytes_of(&self, name: &str) -> Vec<u8> {
        let file = fs::File::open(self.path(&format!("dev/{name}"))).unwrap();
        let mut head = vec![0; 2 << 20];
        file.read_exact_at(&mut head, 0).unwrap();
        head
    }
}

impl Md for PlayedMd {
    fn assemble(&self, array: &Path, members: &[PathBuf]) -> Result<(), ProgramError> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        let names: Vec<String> = members.iter().map(|member| name(member)).collect();
        self.calls.borrow_mut().push(format!("assemble {} {}", name(array), names.join(" ")));
        let read_only = fs::read_to_string(self.path(START_RO)).unwrap();
        assert_eq!(read_only, "1", "an array that writes to its members before anybody asked it to");
        self.show(&name(array), 1, members.len() as u32, &names, "read-auto");
        Ok(())
    }

    fn create(&self, array: &NewArray) -> Result<(), ProgramError> {
        let name = array.node.file_name().unwrap().to_str().unwrap().to_owned();
        self.calls.borrow_mut().push(format!("create {name}"));
        let count = array.members.len() as u32;
        let kept = if self.loses_member.get() { count - 1 } else { count };
        let mut names = Vec::new();
        for (number, member) in (0..).zip(&array.members) {
            let (disk, start, length) = self.place(member);
            let uuid = [name.as_bytes()[2]; 16];
            let block =
                version_1_2(uuid, &format!("host:{}", array.name), array.level, count, number, length);
            self.disk(&disk).write_at(start + 4096, &block).unwrap();
            if number < kept {
                names.push(member.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
        self.show(&name, array.level, count, &names, "clean");
        let node = fs::OpenOptions::new().write(true).open(self.path(&format!("dev/{name}"))).unwrap();
        node.write_all_at(b"XFSB", 0).unwrap();
        Ok(())
    }

    fn add(&self, array: &Path, member: &Path) -> Result<(), ProgramError> {
        let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        self.calls.borrow_mut().push(format!("add {} {}", name(array), name(member)));
        Ok(())
    }

    fn stop(&self, array: &Path) -> Result<(), ProgramError> {
        let name = array.file_name().unwrap().to_str().unwrap().to_owned();
        self.calls.borrow_mut().push(format!("stop {name}"));
        if self.never_stops.get() {
            return Err(ProgramError::Missing { program: "a way to stop".to_owned() });
        }
        fs::remove_dir_all(self.path(&format!("sys/block/{name}"))).unwrap();
        fs::remove_file(array).unwrap();
        Ok(())
    }

    fn reread(&self, disk: &Path) -> Result<(), Error> {
        let name = disk.file_name().unwrap().to_str().unwrap();
        let folder = self.path(&format!("sys/block/{name}"));
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.path().join("partition").exists() {
                fs::remove_file(self.path("dev").join(entry.file_name())).unwrap();
                fs::remove_dir_all(entry.path()).unwrap();
            }
        }
        for part in scan(&Device::open(disk, Access::Read)?)?.partitions {
            let own = format!("sys/block/{name}/{name}{}", part.number);
            self.write(&format!("{own}/partition"), &part.number.to_string());
            self.write(&format!("{own}/start"), &(part.start / 512).to_string());
            self.write(&format!("{own}/size"), &(part.length / 512).to_string());
            self.write(&format!("dev/{name}{}", part.number), "");
        }
        Ok(())
    }
}

fn volume(level: &str, size: Value, name: &str) -> Value {
    json!({"controller": "software", "raid_level": level, "size_gb": size, "volume_name": name})
}

fn config(volumes: &[Value]) -> Value {
    json!({"logical_disks": volumes})
}

fn details(outcome: Result<Value, StepError>) -> String {
    let error = outcome.unwrap_err();
    assert_eq!(error.class(), "SoftwareRAIDError", "{error}");
    error.details()
}

fn is_blank(played: &PlayedMd, disk: &str) -> bool {
    let device = played.disk(disk);
    let tables = scan(&device).unwrap();
    tables.partitions.is_empty()
        && tables.structures.is_empty()
        && find(&device, 0, device.size_bytes()).unwrap().is_empty()
        && played.bytes_of(disk).iter().take(1 << 20).all(|byte| *byte == 0)
}

#[test]
fn two_volumes_are_made_proven_and_deleted_without_a_trace() {
    let played = PlayedMd::new(&[8 * GIB, 8 * GIB, 8 * GIB], true);
    let wanted = config(&[volume("1", json!(2), "root"), volume("5", json!("MAX"), "data")]);
    let result = played.create(&json!({}), &wanted).unwrap();
    assert_eq!(result["logical_disks"], wanted["logical_disks"]);
    let proofs = result["proofs"].as_array().unwrap();
    assert_eq!(proofs.len(), 2);
    assert_eq!((&proofs[0]["device"], &proofs[0]["result"]), (&json!("/dev/md0"), &json!("proven")));
    let table = read_valid(&played.disk("vdc")).unwrap().unwrap();
    let places: Vec<(u32, u64)> = table.iter().map(|part| (part.number, part.start / MIB)).collect();
    assert_eq!(places, [(1, 551), (2, 551 + 2048), (3, 1)]);

    let result = played.delete(&json!({})).unwrap();
    assert_eq!(*played.calls.borrow(), ["create md0", "create md1", "stop md0", "stop md1"]);
    assert_eq!(result["proofs"].as_array().unwrap().len(), 5);
    for disk in ["vda", "vdb", "vdc"] {
        assert!(is_blank(&played, disk), "{disk}");
    }
    // With nothing left there is nothing to do.
    assert_eq!(played.delete(&json!({})).unwrap(), json!({"proofs": []}));
}

#[test]
fn a_plan_touches_nothing() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], false);
    let wanted = config(&[volume("1", json!("MAX"), "root")]);
    let work = Work { config: Some(&wanted), delete: true };
    let plan = played.step(&json!({}), work, true).unwrap();
    assert_eq!(plan["plan"]["create"]["disks"][1]["table"], "msdos");
    assert_eq!(plan["plan"]["create"]["arrays"][0]["members"][0]["start"], json!(MIB));
    assert!(is_blank(&played, "vda") && is_blank(&played, "vdb"));

    played.create(&json!({}), &wanted).unwrap();
    let before = played.bytes_of("vda");
    // What is to be deleted is no obstacle to what is to be made.
    let plan = played.step(&json!({}), work, true).unwrap();
    assert_eq!(plan["plan"]["delete"]["arrays"][0]["fate"], "delete");
    assert_eq!(plan["plan"]["delete"]["disks"][0]["serial"], "SERIAL-a");
    assert_eq!(plan["plan"]["create"]["arrays"][0]["name"], "root");
    assert_eq!(played.bytes_of("vda"), before);
    assert_eq!(played.calls.borrow().len(), 1);
}

#[test]
fn a_plan_that_cannot_be_made_costs_no_array() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], false);
    let wanted = config(&[volume("1", json!("MAX"), "root")]);
    played.create(&json!({}), &wanted).unwrap();
    let before = played.bytes_of("vda");
    let too_large = config(&[volume("1", json!(100), "root")]);
    let work = Work { config: Some(&too_large), delete: true };
    assert!(details(played.step(&json!({}), work, false)).contains("/dev/vda has"));
    assert_eq!(played.bytes_of("vda"), before);
}

#[test]
fn used_disks_are_refused() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    let wanted = config(&[volume("1", json!("MAX"), "root")]);
    played.create(&json!({}), &wanted).unwrap();
    let problems = details(played.create(&json!({}), &wanted));
    assert!(problems.contains("/dev/vda has 2 partitions") && problems.contains("/dev/vdb"), "{problems}");
}

#[test]
fn shared_file_systems_are_refused() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    played.disk("vdb").write_at(64 << 10, &[1, 0x16, 0x19, 0x70, 0, 0, 0, 1]).unwrap();
    let wanted = config(&[volume("1", json!("MAX"), "root")]);
    let problems = details(played.create(&json!({}), &wanted));
    assert!(problems.contains("/dev/vdb holds GFS2"), "{problems}");
    let node = json!({"driver_info": {"wipe_special_filesystems": true}});
    played.create(&node, &wanted).unwrap();
}

#[test]
fn a_degraded_array_is_no_success() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    played.loses_member.set(true);
    let wanted = config(&[volume("1", json!("MAX"), "root")]);
    let error = played.create(&json!({}), &wanted).unwrap_err();
    assert!(error.disk_touched());
    let details = error.details();
    assert!(
        details.contains("1 of its members are missing") && details.contains("/dev/vdb has no member"),
        "{details}"
    );
    // What was begun is taken back, so that a second attempt can succeed.
    assert_eq!(*played.calls.borrow(), ["create md0", "add md0 vdb1", "stop md0"]);
    assert!(is_blank(&played, "vda") && is_blank(&played, "vdb"));
    played.loses_member.set(false);
    played.create(&json!({}), &wanted).unwrap();
}

#[test]
fn what_cannot_be_taken_back_is_said() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    played.loses_member.set(true);
    played.never_stops.set(true);
    let error = played.create(&json!({}), &config(&[volume("1", json!("MAX"), "root")])).unwrap_err();
    assert!(matches!(error, StepError::Failed { retry: false, touched: true, .. }), "{error:?}");
    let details = error.details();
    assert!(details.contains("1 of its members are missing"), "{details}");
    assert!(details.contains("left of what was begun: /dev/md0"), "{details}");
}

#[test]
fn arrays_on_disks_beyond_the_allow_list_do_not_exist() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB, 4 * GIB], true);
    let mut first = volume("1", json!("MAX"), "root");
    first["physical_disks"] = json!([{"serial": "SERIAL-a"}, {"serial": "SERIAL-b"}]);
    played.create(&json!({}), &config(&[first])).unwrap();
    let before = [played.bytes_of("vda"), played.bytes_of("vdb")];
    let machine = Machine::new(Roots::below(played.folder.path()), Some(vec!["/dev/vdc".into()]));
    let (node, args) = (json!({}), Map::new());
    let context = StepContext { node: &node, ports: &json!([]), args: &args, observer: &Silent };
    run(&machine, &context, &played, Work { config: None, delete: true }).unwrap();
    assert!(
        [played.bytes_of("vda"), played.bytes_of("vdb")] == before,
        "a disk that is not ours was written to"
    );
    assert!(played.path("sys/block/md0").exists());
}

#[test]
fn members_that_take_no_writes_are_no_success() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    played.create(&json!({}), &config(&[volume("1", json!("MAX"), "root")])).unwrap();
    played.write("sys/block/vdb/ro", "1\n");
    assert!(details(played.delete(&json!({}))).contains("/dev/md0 has a member on /dev/vdb"));
    assert!(played.path("sys/block/md0").exists());
}

#[test]
fn a_kept_array_is_known_by_its_own_superblock() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    played.create(&json!({}), &config(&[volume("1", json!("MAX"), "root")])).unwrap();
    // An earlier array of the old format, without a name, at the end of the member.
    let (_, start, length) = played.place(Path::new("vda1"));
    let at = start + length / (64 << 10) * (64 << 10) - (64 << 10);
    let old = [0xa92b_4efc_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat();
    played.disk("vda").write_at(at, &old).unwrap();
    let node = json!({"properties": {"skip_block_devices": [{"volume_name": "root"}]}});
    let plan = played.step(&node, Work { config: None, delete: true }, true).unwrap();
    assert_eq!(plan["plan"]["delete"]["arrays"][0]["fate"], "keep");
}

#[test]
fn arrays_beside_a_kept_one_that_does_not_run_stay() {
    let played = PlayedMd::new(&[8 * GIB, 8 * GIB], true);
    let wanted = config(&[volume("1", json!(2), "root"), volume("1", json!("MAX"), "data")]);
    played.create(&json!({}), &wanted).unwrap();
    played.stop(&played.path("dev/md0")).unwrap();
    let node = json!({"properties": {"skip_block_devices": [{"volume_name": "root"}]}});
    let plan = played.step(&node, Work { config: None, delete: true }, true).unwrap();
    assert_eq!(plan["plan"]["delete"]["arrays"][0]["name"], "host:data");
    assert_eq!(plan["plan"]["delete"]["arrays"][0]["fate"], "wipe");
    assert_eq!(plan["plan"]["delete"]["disks"][0]["fate"], "keep");
}

#[test]
fn an_array_that_does_not_stop_is_no_success() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    played.create(&json!({}), &config(&[volume("1", json!("MAX"), "root")])).unwrap();
    played.never_stops.set(true);
    assert!(details(played.delete(&json!({}))).contains("a way to stop"));
}

#[test]
fn what_comes_back_is_removed_by_the_second_delete_and_never_hidden() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    let block = version_1_2([9; 16], "ghost", 1, 2, 0, 4 * GIB);
    played.disk("vda").write_at(4096, &block).unwrap();
    let result = played.delete(&json!({})).unwrap();
    let devices: Vec<&Value> =
        result["proofs"].as_array().unwrap().iter().map(|proof| &proof["device"]).collect();
    assert_eq!(devices, ["/dev/md0", "/dev/vda"]);
    assert!(is_blank(&played, "vda"));
}

#[test]
fn kept_volumes_keep_their_neighbours_from_harm() {
    let played = PlayedMd::new(&[8 * GIB, 8 * GIB], true);
    let wanted = config(&[volume("1", json!(2), "root"), volume("1", json!("MAX"), "data")]);
    played.create(&json!({}), &wanted).unwrap();
    let node = json!({"properties": {"skip_block_devices": [{"volume_name": "data"}]}});
    let plan = played.step(&node, Work { config: None, delete: true }, true).unwrap();
    let fates: Vec<&str> = plan["plan"]["delete"]["arrays"]
        .as_array()
        .unwrap()
        .iter()
        .map(|array| array["fate"].as_str().unwrap())
        .collect();
    assert_eq!(fates, ["wipe", "keep"]);
    let table = played.bytes_of("vda");
    played.delete(&node).unwrap();
    assert_eq!(played.bytes_of("vda"), table);
    assert!(!played.calls.borrow().iter().any(|call| call.starts_with("stop")));
    let head = |name: &str| fs::read(played.path(&format!("dev/{name}"))).unwrap()[..4].to_vec();
    assert_eq!((head("md0"), head("md1")), (vec![0; 4], b"XFSB".to_vec()));
    // Both are there: nothing is made again.
    let result = played.create(&node, &wanted).unwrap();
    assert_eq!(result["proofs"], json!([]));
}

#[test]
fn disks_of_the_skip_list_stay_as_they_are() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB, 4 * GIB, 4 * GIB], true);
    let hints = json!([{"serial": "SERIAL-a"}, {"serial": "SERIAL-b"}]);
    let mut first = volume("1", json!("MAX"), "root");
    first["physical_disks"] = hints;
    played.create(&json!({}), &config(&[first])).unwrap();
    let node = json!({"properties": {"skip_block_devices": [{"serial": "SERIAL-b"}]}});
    let before = [played.bytes_of("vda"), played.bytes_of("vdb")];
    played.delete(&node).unwrap();
    assert_eq!([played.bytes_of("vda"), played.bytes_of("vdb")], before);
    assert!(played.path("sys/block/md0").exists());
}

/// After a restart of the machine: the superblocks are there, and nothing runs.
fn restarted(played: &PlayedMd) {
    for array in fs::read_dir(played.path("sys/block")).unwrap().flatten() {
        let name = array.file_name().into_string().unwrap();
        if name.starts_with("md") {
            played.stop(&played.path(&format!("dev/{name}"))).unwrap();
        }
    }
    played.calls.borrow_mut().clear();
}

#[test]
fn arrays_of_an_earlier_boot_are_started_and_removed() {
    let played = PlayedMd::new(&[8 * GIB, 8 * GIB], true);
    let wanted = config(&[volume("1", json!(2), "root"), volume("1", json!("MAX"), "data")]);
    played.create(&json!({}), &wanted).unwrap();
    restarted(&played);
    played.delete(&json!({})).unwrap();
    let calls = ["assemble md0 vda1 vdb1", "assemble md1 vda2 vdb2", "stop md0", "stop md1"];
    assert_eq!(*played.calls.borrow(), calls);
    assert_eq!(fs::read_to_string(played.path(START_RO)).unwrap(), "0");
    assert!(is_blank(&played, "vda") && is_blank(&played, "vdb"));
}

#[test]
fn arrays_with_a_part_that_is_kept_out_are_never_started_nor_harmed() {
    let listed = json!({"properties": {"skip_block_devices": [{"serial": "SERIAL-b"}]}});
    let hidden =
        |played: &PlayedMd| Machine::new(Roots::below(played.folder.path()), Some(vec!["/dev/vda".into()]));
    let shared = |played: &PlayedMd| {
        played.disk("vdb").write_at(64 << 10, &[1, 0x16, 0x19, 0x70, 0, 0, 0, 1]).unwrap();
    };
    for case in ["listed", "hidden", "shared"] {
        let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
        played.create(&json!({}), &config(&[volume("1", json!("MAX"), "root")])).unwrap();
        restarted(&played);
        let (mut machine, mut node) = (played.machine(), json!({}));
        match case {
            "listed" => node = listed.clone(),
            "hidden" => machine = hidden(&played),
            _ => shared(&played),
        }
        let before = [played.bytes_of("vda"), played.bytes_of("vdb")];
        let args = Map::new();
        let context = StepContext { node: &node, ports: &json!([]), args: &args, observer: &Silent };
        let outcome = run(&machine, &context, &played, Work { config: None, delete: true });
        assert_eq!(outcome.is_err(), case == "shared", "{case}: {outcome:?}");
        assert_eq!(*played.calls.borrow(), [""; 0], "{case}");
        assert!([played.bytes_of("vda"), played.bytes_of("vdb")] == before, "{case}: written to");
    }
}

#[test]
fn an_array_that_was_changing_its_shape_is_not_started() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    played.create(&json!({}), &config(&[volume("1", json!("MAX"), "root")])).unwrap();
    restarted(&played);
    let (disk, start, _) = played.place(Path::new("vda1"));
    played.disk(&disk).write_at(start + 4096 + 8, &[4]).unwrap();
    played.delete(&json!({})).unwrap();
    assert_eq!(*played.calls.borrow(), [""; 0]);
    assert!(is_blank(&played, "vda") && is_blank(&played, "vdb"));
}

#[test]
fn nothing_asked_for_is_nothing_done() {
    let played = PlayedMd::new(&[4 * GIB, 4 * GIB], true);
    assert_eq!(played.create(&json!({}), &json!({})).unwrap(), json!({}));
    assert_eq!(played.create(&json!({}), &Value::Null).unwrap(), json!({}));
    assert!(played.calls.borrow().is_empty());
}
