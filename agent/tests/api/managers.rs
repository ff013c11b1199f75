//! Hardware managers that are programs of their own, from the API down.

use serde_json::{Value, json};

use crate::support::{Answer, TestAgent};

const VENDOR: &str = r#"#!/bin/sh
case "$1:$2" in
describe:) echo '{"message":"description","protocol":1,"name":"vendor","version":"7"}';;
evaluate:) echo '{"message":"support","level":3}';;
steps:) echo '{"message":"steps","steps":[
 {"step":"blink","interface":"management","service":0,"destructive":false},
 {"step":"erase_devices_metadata","interface":"deploy","clean":100,"destructive":true}]}' | tr -d '\n'; echo;;
run_step:blink) echo '{"message":"result","step":"blink","result":{"blinked":3}}';;
*) echo '{"message":"error","details":"not that"}';;
esac
"#;

fn ask(agent: &TestAgent, name: &str, params: &Value) -> Answer {
    agent.post("/v1/commands/?wait=true", &json!({"name": name, "params": params}).to_string())
}

#[test]
fn a_service_step_of_a_vendor_and_an_erase_step_of_ours() {
    let mut agent = TestAgent::with_disk(Some(4 << 20));
    agent.add_manager("vendor", VENDOR);
    let node = json!({"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"});
    let listed = ask(&agent, "service.get_service_steps", &json!({"node": node, "ports": []})).json();
    let listed = &listed["command_result"];
    assert_eq!(listed["service_steps"]["vendor"][0]["step"], "blink");
    let version = listed["hardware_manager_version"].clone();
    assert_eq!(version["vendor"], "7");

    let step = json!({"step": "blink", "interface": "management"});
    let params = json!({"step": step, "node": node, "ports": [], "service_version": version});
    let ran = ask(&agent, "service.execute_service_step", &params).json();
    let expected = json!({"service_result": {"blinked": 3}, "service_step": step, "manager": "vendor"});
    assert_eq!(ran["command_result"], expected);

    let clean = ask(&agent, "clean.get_clean_steps", &json!({"node": node, "ports": []})).json();
    assert_eq!(clean["command_result"]["clean_steps"]["vendor"], json!([]));
    let step = json!({"step": "erase_devices_metadata", "interface": "deploy"});
    let params = json!({"step": step, "node": node, "ports": [], "clean_version": version});
    let ran = ask(&agent, "clean.execute_clean_step", &params).json();
    assert_eq!(ran["command_result"]["manager"], "generic_hardware_manager", "{ran}");
}

#[test]
fn a_broken_manager_stops_steps_and_images_but_not_the_agent() {
    let mut agent = TestAgent::start();
    agent.add_manager("broken", "#!/no/such/interpreter\n");
    let node = json!({"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"});
    let image = json!({"id": "i", "urls": ["http://127.0.0.1:1/i"], "checksum": "a".repeat(64)});
    for (command, params) in [
        ("clean.get_clean_steps", json!({"node": node, "ports": []})),
        ("standby.prepare_image", json!({"image_info": image})),
    ] {
        let answer = ask(&agent, command, &params).json();
        let error = &answer["command_error"];
        assert_eq!(error["type"], "HardwareManagerConfigurationError", "{answer}");
        assert!(error["details"].as_str().unwrap().contains("hardware manager broken cannot be used"));
    }
    assert_eq!(agent.get("/v1/status").status, 200);
}

#[test]
fn the_agent_says_so_while_a_manager_is_slow_to_begin() {
    let go = tempfile::tempdir().unwrap();
    let begin = go.path().join("go");
    let wait = format!("#!/bin/sh\nuntil [ -e {} ]; do sleep 0.05; done\n", begin.display());
    let mut agent = TestAgent::start();
    agent.add_manager("vendor", &VENDOR.replace("#!/bin/sh\n", &wait));
    assert_eq!(agent.get("/v2/status").json()["preparing"], true);
    std::fs::write(&begin, "").unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while agent.get("/v2/status").json()["preparing"] == true {
        assert!(std::time::Instant::now() < deadline, "it never begins");
        std::thread::yield_now();
    }
    let node = json!({"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"});
    let listed = ask(&agent, "service.get_service_steps", &json!({"node": node, "ports": []})).json();
    assert_eq!(listed["command_result"]["hardware_manager_version"]["vendor"], "7");
}

/// Tells how far it is, and does not end.
const SLOW: &str = r#"#!/bin/sh
case "$1" in
describe) echo '{"message":"description","protocol":1,"name":"slow","version":"1"}';;
evaluate) echo '{"message":"support","level":3}';;
steps) printf '%s' '{"message":"steps","steps":[{"step":"look","interface":"deploy","clean":0,"destructive":false},'
 echo '{"step":"change","interface":"deploy","clean":0,"destructive":true}]}';;
run_step) echo '{"message":"progress","stage":"'"$2"'","device":"/dev/sda","done":1,"total":9}'; exec sleep 600;;
esac
"#;

/// Starts `step` of [`SLOW`], and waits until it tells how far it is.
fn begin(agent: &TestAgent, step: &str) {
    let node = json!({"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123"});
    let step = json!({"step": step, "interface": "deploy"});
    let params = json!({"step": step, "node": node, "ports": []});
    let request = json!({"command": "clean.execute_clean_step", "params": params});
    assert_eq!(agent.put("/v2/operations/slow", &request).status, 201);
    let mut after = 0;
    loop {
        let page = agent.get(&format!("/v2/events?after={after}&wait=60")).json();
        if page["events"].as_array().unwrap().iter().any(|event| event["kind"] == "progress") {
            return;
        }
        after = page["last"].as_u64().unwrap();
    }
}

#[test]
fn what_a_manager_started_does_not_outlive_the_agent() {
    let folder = tempfile::tempdir().unwrap();
    let number = folder.path().join("pid");
    // In a session of its own, as a daemon is.
    let begun = format!("run_step) setsid sh -c 'echo $$ >{}; exec sleep 600' &", number.display());
    let mut agent = TestAgent::start();
    let waits = format!("until [ -s {} ]; do sleep 0.02; done; echo", number.display());
    agent.add_manager("slow", &SLOW.replace("run_step) echo", &format!("{begun} {waits}")));
    begin(&agent, "change");
    agent.kill_and_restart();
    assert_eq!(agent.get("/v2/operations/slow").json()["state"], "failed");
    let stat = format!("/proc/{}/stat", std::fs::read_to_string(&number).unwrap().trim());
    // Whoever inherited it may not have waited for it yet.
    let stat = std::fs::read_to_string(stat).unwrap_or_else(|_| "(gone) X".into());
    assert!(stat.rsplit_once(')').unwrap().1.trim_start().starts_with(['Z', 'X']), "{stat}");
}

#[test]
fn only_a_step_that_may_write_leaves_a_disk_in_doubt() {
    for (step, disk) in [("look", "untouched"), ("change", "not-bootable")] {
        let mut agent = TestAgent::start();
        agent.add_manager("slow", SLOW);
        begin(&agent, step);
        agent.kill_and_restart();
        let operation = agent.get("/v2/operations/slow").json();
        assert_eq!(operation["error"]["disk"], disk, "{operation}");
    }
}
