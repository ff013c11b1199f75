//! The examples of `docs/hardware-managers.md`, as an agent runs them.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tacit_model::{Proof, ProofResult};

use super::super::super::devices::{DeviceKind, InventoryPart};
use super::super::super::{Managers, StepError, StepFamily};
use super::super::protocol::Request;
use super::schema::judge;
use super::{Folder, Observer, run_as};
use crate::machine::{Machine, Roots};

const MIB: usize = 1 << 20;
const EXAMPLES: [&str; 2] = ["scratch-disk.py", "temperatures.sh"];

fn example(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
}

fn both() -> (Folder, Managers) {
    let folder = Folder::new();
    for name in EXAMPLES {
        folder.file(name, &example(name), 0o755);
    }
    let managers = folder.managers();
    assert_eq!(managers.broken(), []);
    (folder, managers)
}

fn disk(folder: &Folder, name: &str, bytes: usize) -> String {
    let path = folder.witness(name);
    fs::write(&path, vec![0xa5; bytes]).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_examples_in_the_tree_are_executable() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for name in EXAMPLES {
        let mode = fs::metadata(folder.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "{name}");
    }
}

#[test]
fn both_are_managers_with_steps() {
    let (_folder, managers) = both();
    assert_eq!(json!(managers.versions()), json!({"scratch_disk": "1.0", "temperatures": "1.0"}));
    let names = |family| {
        let steps = managers.steps(family, &json!({}), &json!([])).unwrap();
        steps.into_values().flatten().map(|step| step.step).collect::<Vec<_>>()
    };
    assert_eq!(names(StepFamily::Clean), ["clear_scratch_area", "read_temperatures"]);
    assert_eq!(names(StepFamily::Service), ["clear_scratch_area", "read_temperatures"]);
    assert_eq!(names(StepFamily::Deploy), Vec::<String>::new());
}

#[test]
fn the_python_example_clears_and_proves() {
    let (folder, managers) = both();
    let disks = ["a", "b"].map(|name| disk(&folder, name, 2 * MIB));
    let run = |args: &Value, observer: &Observer| {
        run_as(&managers, "clear_scratch_area", &json!({}), args, observer)
    };
    let untouched = |disk: &str| fs::read(disk).unwrap().iter().all(|&byte| byte == 0xa5);

    let observer = Observer::default();
    let plan = run(&json!({"devices": disks, "dry_run": true}), &observer).unwrap();
    assert_eq!(plan.result["plan"][1]["verdict"], "erase");
    assert!(disks.iter().all(|disk| untouched(disk)));

    let small = disk(&folder, "small", 4096);
    for (devices, expected) in [
        (json!([disks[0], small]), "has no scratch area"),
        (json!([disks[0], "/dev/none"]), "No such file"),
        (json!("all"), "must be a list of paths"),
    ] {
        let error = run(&json!({ "devices": devices }), &observer).unwrap_err();
        assert!(error.details().contains(expected), "{}", error.details());
        assert!(untouched(&disks[0]));
    }

    let stopping = Observer { stop_at: Some("clear"), ..Observer::default() };
    let error = run(&json!({"devices": [disks[0]]}), &stopping);
    // It may be through before it hears.
    assert!(matches!(error, Err(StepError::Stopped { touched: true, .. }) | Ok(_)), "{error:?}");

    let outcome = run(&json!({ "devices": disks }), &observer).unwrap();
    assert_eq!((outcome.manager.as_str(), &outcome.result["cleared"]), ("scratch_disk", &json!(2)));
    let proofs: Vec<Proof> = serde_json::from_value(outcome.result["proofs"].clone()).unwrap();
    assert_eq!(proofs.len(), 2);
    for (proof, disk) in proofs.iter().zip(&disks) {
        assert_eq!((proof.result, &proof.device), (ProofResult::Proven, disk));
        assert_eq!(proof.claimed_by.as_deref(), Some("scratch_disk"));
        let bytes = fs::read(disk).unwrap();
        assert!(bytes[..MIB].iter().all(|&byte| byte == 0) && bytes[MIB..].iter().all(|&byte| byte == 0xa5));
    }
    let last = observer.seen.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last, ("clear".into(), disks[1].clone(), MIB as u64, MIB as u64));
}

#[test]
fn the_python_example_hides_service_volumes() {
    let (folder, managers) = both();
    let machine = Machine::new(Roots::below(&folder.witness("tree")), None);
    managers.attach(&machine);
    let devices = vec![
        json!({"name": "/dev/sda", "model": "ACME SERVICE LUN"}),
        json!({"name": "/dev/sdb", "model": null}),
    ];
    let left: Vec<Value> = machine.filter(DeviceKind::Disk, devices.clone());
    assert_eq!(left, devices[1..]);
    assert_eq!(machine.filter(DeviceKind::Usb, devices.clone()), devices);
}

#[test]
fn the_shell_example_reads() {
    let (_folder, managers) = both();
    let observer = Observer::default();
    let run = |args: &Value| run_as(&managers, "read_temperatures", &json!({}), args, &observer).unwrap();
    let outcome = run(&json!({}));
    let sensors = outcome.result["millidegrees"].as_object().unwrap().len();
    assert_eq!((outcome.manager.as_str(), observer.seen.lock().unwrap().len()), ("temperatures", sensors));
    assert_eq!(run(&json!({"dry_run": true})).result, json!({"plan": []}));
}

/// Every line that the examples write to these requests.
fn said(program: &str, requests: &[Request]) -> Vec<Value> {
    let folder = Folder::new();
    folder.file(program, &example(program), 0o755);
    let mut lines = Vec::new();
    for request in requests {
        let mut child = Command::new(folder.path().join(program))
            .arg(request.word())
            .args(request.subject())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Not every program reads what it is told.
        child.stdin.take().unwrap().write_all(&request.line()).ok();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.ends_with('\n'), "{program}, {}: {text:?}", request.word());
        lines.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}

#[test]
fn what_the_examples_say_is_in_the_schema() {
    let folder = Folder::new();
    let disk = disk(&folder, "disk", 2 * MIB);
    let (node, ports) = (json!({}), json!([]));
    for (program, step, args) in [
        ("scratch-disk.py", "clear_scratch_area", json!({ "devices": [disk] })),
        ("scratch-disk.py", "clear_scratch_area", json!({})),
        ("scratch-disk.py", "another", json!({})),
        ("temperatures.sh", "read_temperatures", json!({})),
    ] {
        let args = args.as_object().unwrap().clone();
        let (step, node, ports) = (step.to_owned(), node.clone(), ports.clone());
        let requests = [
            Request::Describe {},
            Request::Evaluate {},
            Request::Initialize {},
            Request::Inventory { part: InventoryPart::BmcAddress, found: json!(null) },
            Request::FilterDevice { kind: DeviceKind::Disk, devices: vec![json!({"name": "/dev/sda"})] },
            Request::Steps { node: node.clone(), ports: ports.clone() },
            Request::PlanStep {
                step: step.clone(),
                node: node.clone(),
                ports: ports.clone(),
                args: args.clone(),
            },
            Request::RunStep { step, node, ports, args },
        ];
        let sent: Vec<Value> =
            requests.iter().map(|request| serde_json::from_slice(&request.line()).unwrap()).collect();
        assert!(judge("request", &sent).iter().all(|&good| good));
        let said = said(program, &requests);
        assert!(said.len() >= requests.len());
        for (message, good) in said.iter().zip(judge("message", &said)) {
            assert!(good, "{program}: {message}");
        }
    }
}
