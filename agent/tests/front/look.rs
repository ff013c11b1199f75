use std::process::Stdio;

use serde_json::Value;

use crate::disk::{agent, call, text};

fn json(arguments: &[&str]) -> Value {
    let output = call(arguments);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn steps_are_listed_by_family_and_manager() {
    let steps = json(&["steps"]);
    let clean = steps["clean"]["GenericHardwareManager"].as_array().unwrap();
    let erase = clean.iter().find(|step| step["step"] == "erase_devices").unwrap();
    assert_eq!((&erase["priority"], &erase["interface"]), (&10.into(), &"deploy".into()));
    assert!(erase["argsinfo"]["dry_run"]["description"].is_string());
    for step in ["erase_devices_express", "erase_pstore"] {
        assert!(clean.iter().any(|known| known["step"] == step && known["priority"] == 0), "{step}");
    }
    assert_eq!(steps["versions"]["generic_hardware_manager"], "1.2");
}

#[test]
fn the_inventory_is_one_document() {
    let inventory = json(&["inventory"]);
    assert!(inventory["cpu"]["count"].as_u64().unwrap() > 0);
    assert!(inventory["disks"].is_array());
    let collected = json(&["inventory", "--collector", "default"]);
    assert_eq!(collected["inventory"]["cpu"]["count"], inventory["cpu"]["count"]);
}

#[test]
fn who_reads_no_further_is_no_failure() {
    for arguments in [["inventory"].as_slice(), &["steps"], &["inventory", "--collector", "everything"]] {
        let mut child =
            agent().args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        let code = if arguments.len() == 1 { 0 } else { 2 };
        assert_eq!(child.wait().unwrap().code(), Some(code), "{arguments:?}");
    }
}

#[test]
fn unknown_collectors_are_a_matter_of_usage() {
    let output = call(&["inventory", "--collector", "everything"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("everything"));
    assert!(output.stdout.is_empty());
}
