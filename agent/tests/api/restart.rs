//! An agent that is killed in the middle.

use serde_json::json;

use crate::support::{Lender, Served, TestAgent, finished, image, sha256, write_request};

const URL: &str = "http://images.example/disk.raw";

#[test]
fn an_interrupted_write_has_failed_and_boots_nothing() {
    let mut agent = TestAgent::with_disk(Some(32 << 20));
    let image = image(16 << 20);
    let served = Served { stall_at: Some(8 << 20), ..Served::whole(image.clone()) };
    let lender = Lender::new(&agent.caller, [(URL, served)]);
    let lent = lender.lend();
    let request = write_request(&agent, URL, &sha256(&image), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let mut after = 0;
    loop {
        let page = agent.get(&format!("/v2/events?after={after}&wait=30")).json();
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty(), "nothing happened for 30 s");
        if events.iter().any(|event| event["target_bytes"].as_u64() > Some(0)) {
            break;
        }
        after = page["last"].as_u64().unwrap();
    }
    agent.kill_and_restart();
    lent.join().unwrap();

    let operation = agent.get("/v2/operations/deploy").json();
    assert_eq!(operation["state"], "failed", "{operation}");
    assert_eq!(operation["error"]["type"], "CommandExecutionError");
    assert_eq!(operation["error"]["details"], "interrupted by a restart of the agent");
    assert_eq!(operation["error"]["disk"], "not-bootable");
    // The same request again is the same operation, not a second write.
    assert_eq!(agent.put("/v2/operations/deploy", &request).json()["state"], "failed");
    let disk = std::fs::read(agent.disk()).unwrap();
    assert!(disk[..1 << 20].iter().all(|byte| *byte == 0));
    assert_eq!(agent.get("/v2/events?after=0").json()["events"][0]["kind"], "finished");
}

#[test]
fn finished_operations_are_remembered() {
    let mut agent = TestAgent::start();
    assert_eq!(agent.put("/v2/operations/one", &json!({"command": "standby.sync"})).status, 201);
    assert_eq!(finished(&agent, "one")["state"], "succeeded");
    let before = agent.post("/v1/commands/", "{\"name\": \"standby.sync\", \"params\": {}}");
    agent.kill_and_restart();
    assert_eq!(agent.get("/v2/operations/one").json()["state"], "succeeded");
    assert_eq!(agent.get("/v1/commands/").text(), format!("{{\"commands\": [{}]}}", before.text()));
}

#[test]
fn who_forgot_which_disk_was_deployed_does_not_guess() {
    let mut agent = TestAgent::with_disk(Some(6 << 30));
    agent.add_disk(5 << 30);
    let request = json!({"command": "image.install_bootloader", "params": {"root_uuid": "0x00000000"}});
    assert_eq!(agent.put("/v2/operations/boot", &request).status, 201);
    let operation = finished(&agent, "boot");
    assert_eq!(operation["error"]["type"], "DeviceNotFound", "{operation}");
    // Told which node this is, the agent knows its disk.
    let node = json!({"properties": {"root_device": {"name": agent.disk()}}});
    let request = json!({"command": "deploy.get_deploy_steps", "params": {"node": node, "ports": []}});
    assert_eq!(agent.put("/v2/operations/steps", &request).status, 201);
    assert_eq!(finished(&agent, "steps")["state"], "succeeded");
    let request = json!({"command": "image.install_bootloader", "params": {"root_uuid": "0x00000000"}});
    assert_eq!(agent.put("/v2/operations/again", &request).status, 201);
    assert_ne!(finished(&agent, "again")["error"]["type"], "DeviceNotFound");
}
