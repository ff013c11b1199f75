//! Images over lent connections, onto a file that stands for a disk.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{Lender, Served, TestAgent, finished, image, sha256, write_request};

const MIB: usize = 1 << 20;
const URL: &str = "http://images.example/disk.raw";

#[test]
fn an_image_is_fetched_written_and_revealed() {
    let agent = TestAgent::with_disk(Some(64 << 20));
    let image = image(20 * MIB);
    let lender = Lender::new(&agent.caller, [(URL, Served::whole(image.clone()))]);
    let lent = lender.lend();
    let request = write_request(&agent, URL, &sha256(&image), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["state"], "succeeded", "{operation}");
    let text = operation["result"]["deploy_result"]["result"].as_str().unwrap();
    let start =
        format!("prepare_image: image (disk.raw) written to device {} root_uuid=", agent.disk().display());
    assert!(text.starts_with(&start), "{text}");
    assert_eq!(operation["result"]["deploy_step"], request["params"]["step"]);
    let disk = std::fs::read(agent.disk()).unwrap();
    // The backup GPT belongs at the end of the disk, which the first one says.
    assert_eq!(disk[MIB..19 * MIB], image[MIB..19 * MIB]);
    assert_eq!(&disk[512..520], b"EFI PART");
    assert_eq!(u64::from_le_bytes(disk[544..552].try_into().unwrap()), (64 << 20) / 512 - 1);
    assert_eq!(&disk[(64 << 20) - 512..(64 << 20) - 504], b"EFI PART");
    assert_eq!(lender.requests(), [format!("{URL} -")]);

    let uuids =
        agent.post("/v1/commands/", "{\"name\": \"standby.get_partition_uuids\", \"params\": {}}").json();
    assert!(uuids["command_result"]["root uuid"].is_string(), "{uuids}");
    let events = agent.get("/v2/events?after=0").json();
    let last = events["events"]
        .as_array()
        .unwrap()
        .iter()
        .rfind(|event| event["kind"] == "progress" && event["source_total"].is_u64())
        .expect("progress with a total")
        .clone();
    assert_eq!(last["step"], "write_image");
    assert_eq!(last["source_total"], image.len());
    assert_eq!(last["device"].as_str(), agent.disk().to_str());
    drop(agent);
    lent.join().unwrap();
}

/// A disk with the superblock of GFS2, which other machines may have mounted.
fn shared_disk() -> TestAgent {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let mut content = vec![0; 32 << 20];
    content[64 << 10..(64 << 10) + 8].copy_from_slice(&[1, 0x16, 0x19, 0x70, 0, 0, 0, 1]);
    std::fs::write(agent.disk(), content).unwrap();
    agent
}

#[test]
fn a_disk_that_other_machines_may_use_gets_no_image() {
    let agent = shared_disk();
    let before = std::fs::read(agent.disk()).unwrap();
    let request = write_request(&agent, URL, &sha256(&[]), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["error"]["type"], "ProtectedDeviceError", "{operation}");
    assert!(operation["error"]["details"].as_str().unwrap().contains("GFS2"), "{operation}");
    assert_eq!(operation["error"]["disk"], "untouched", "{operation}");
    assert!(std::fs::read(agent.disk()).unwrap() == before);
}

#[test]
fn a_plan_to_write_says_where_and_writes_nothing() {
    let agent = shared_disk();
    let before = std::fs::read(agent.disk()).unwrap();
    let mut request = write_request(&agent, URL, &sha256(&[]), json!({}));
    request["params"]["step"]["args"]["dry_run"] = json!(true);
    for (id, allowed, verdict) in [("refused", false, "refuse"), ("planned", true, "erase")] {
        request["params"]["node"]["driver_info"] = json!({ "wipe_special_filesystems": allowed });
        assert_eq!(agent.put(&format!("/v2/operations/{id}"), &request).status, 201);
        let operation = finished(&agent, id);
        let plan = &operation["result"]["deploy_result"]["plan"][0];
        assert_eq!((plan["device"].as_str(), &plan["verdict"]), (agent.disk().to_str(), &json!(verdict)));
        assert!(plan["reasons"].to_string().contains("GFS2"), "{plan}");
        assert!(plan["methods"][0]["reason"].as_str().unwrap().contains(URL), "{plan}");
    }
    assert!(std::fs::read(agent.disk()).unwrap() == before);
}

#[test]
fn files_go_to_the_disk_that_the_image_is_on() {
    let mut agent = TestAgent::with_disk(Some(32 << 20));
    agent.add_disk(16 << 20);
    let image = image(4 * MIB);
    let lender = Lender::new(&agent.caller, [(URL, Served::whole(image.clone()))]);
    let lent = lender.lend();
    let mut request = write_request(&agent, URL, &sha256(&image), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    assert_eq!(finished(&agent, "deploy")["state"], "succeeded");
    // Since then the hints name the other one.
    let other = agent.disk().with_file_name("disk1");
    let files = json!([{"path": "/etc/x", "deleted": true, "partition": 9}]);
    request["params"]["step"] =
        json!({"step": "inject_files", "interface": "deploy", "args": {"files": files}});
    request["params"]["node"]["properties"]["root_device"]["name"] = json!(other);
    assert_eq!(agent.put("/v2/operations/inject", &request).status, 201);
    let operation = finished(&agent, "inject");
    let wanted = format!("{} has no partition 9", agent.disk().display());
    assert!(operation["error"]["details"].as_str().unwrap().contains(&wanted), "{operation}");
    drop(agent);
    lent.join().unwrap();
}

#[test]
fn a_connection_is_asked_for_when_there_is_none() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let image = image(4 * MIB);
    let lender = Lender::new(&agent.caller, [(URL, Served::whole(image.clone()))]);
    let request = write_request(&agent, URL, &sha256(&image), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    wait_for_event(&agent, "lend-wanted");
    let lent = lender.lend();
    assert_eq!(finished(&agent, "deploy")["state"], "succeeded");
    drop(agent);
    lent.join().unwrap();
}

#[test]
fn a_broken_connection_goes_on_at_the_last_byte() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let image = image(12 * MIB);
    let served = Served { break_first_at: Some(5 * MIB), ..Served::whole(image.clone()) };
    let lender = Lender::new(&agent.caller, [(URL, served)]);
    let lent = [lender.lend(), lender.lend()];
    let request = write_request(&agent, URL, &sha256(&image), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["state"], "succeeded", "{operation}");
    let requests = lender.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    let resumed: usize = requests[1].split_once("bytes=").unwrap().1.trim_end_matches('-').parse().unwrap();
    assert!(resumed > 0 && resumed <= 5 * MIB, "{requests:?}");
    drop(agent);
    for lent in lent {
        lent.join().unwrap();
    }
}

#[test]
fn a_wrong_checksum_leaves_nothing_bootable() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let image = image(4 * MIB);
    let lender = Lender::new(&agent.caller, [(URL, Served::whole(image))]);
    let lent = lender.lend();
    let request = write_request(&agent, URL, &"0".repeat(64), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["state"], "failed");
    assert_eq!(operation["error"]["type"], "ImageChecksumError", "{operation}");
    assert_eq!(operation["error"]["disk"], "not-bootable");
    assert_not_bootable(&agent);
    drop(agent);
    lent.join().unwrap();
}

#[test]
fn a_url_that_is_not_allowed_is_a_download_error() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let lender = Lender::new(&agent.caller, []);
    let lent = lender.lend();
    let request = write_request(&agent, URL, &"0".repeat(64), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["error"]["type"], "ImageDownloadError", "{operation}");
    assert_eq!(operation["error"]["disk"], "untouched", "{operation}");
    assert!(operation["error"]["details"].as_str().unwrap().contains("403"), "{operation}");
    let disk = std::fs::read(agent.disk()).unwrap();
    assert!(disk.iter().all(|byte| *byte == 0xA5));
    drop(agent);
    lent.join().unwrap();
}

#[test]
fn a_write_can_be_cancelled_in_the_middle() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let image = image(16 * MIB);
    let served = Served { stall_at: Some(8 * MIB), ..Served::whole(image.clone()) };
    let lender = Lender::new(&agent.caller, [(URL, served)]);
    let lent = lender.lend();
    let request = write_request(&agent, URL, &sha256(&image), json!({}));
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    wait_for_writing(&agent);
    // Both fronts say that the agent is busy.
    let busy = agent.post("/v1/commands/", "{\"name\": \"standby.sync\", \"params\": {}}");
    assert_eq!(busy.status, 409);
    assert_eq!(
        busy.text(),
        "{\"faultcode\": \"Client\", \"faultstring\": \"Agent is busy: executing command execute_deploy_step\"}"
    );
    assert_eq!(agent.put("/v2/operations/other", &json!({"command": "standby.sync"})).status, 409);
    assert_eq!(agent.post("/v1/commands/", "{\"name\": \"x\", \"params\": {}}").status, 400);
    assert_eq!(agent.post("/v1/commands/", "{\"name\": \"x.y\", \"params\": {}}").status, 409);
    assert_eq!(agent.get("/v2/status").json()["running"], "deploy");

    assert_eq!(agent.caller.request("DELETE", "/v2/operations/deploy", None).status, 202);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["state"], "cancelled", "{operation}");
    assert_eq!(operation["error"]["disk"], "not-bootable");
    assert_not_bootable(&agent);
    assert_eq!(agent.caller.request("DELETE", "/v2/operations/nope", None).status, 404);
    assert_eq!(agent.put("/v2/operations/after", &json!({"command": "standby.sync"})).status, 201);
    drop(agent);
    lent.join().unwrap();
}

#[test]
fn checksum_and_config_drive_by_address() {
    let agent = TestAgent::with_disk(Some(96 << 20));
    let image = image(4 * MIB);
    let sums = format!("{}  other.raw\n{}  disk.raw\n", "1".repeat(64), sha256(&image));
    let drive = base64(&Arc::new(vec![0x55; 64 * 1024]));
    let lender = Lender::new(
        &agent.caller,
        [
            (URL, Served::whole(image)),
            ("http://images.example/SHA256SUMS", Served::whole(sums.into_bytes())),
            ("http://config.example/drive", Served::whole(drive.into_bytes())),
        ],
    );
    let lent = lender.lend();
    let request = write_request(
        &agent,
        URL,
        "http://images.example/SHA256SUMS",
        json!({"configdrive": "http://config.example/drive"}),
    );
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["state"], "succeeded", "{operation}");
    assert_eq!(lender.requests().len(), 3);
    let disk = std::fs::read(agent.disk()).unwrap();
    let written = disk.windows(64 * 1024).step_by(512).any(|window| window.iter().all(|byte| *byte == 0x55));
    assert!(written, "the config drive is nowhere on the disk");
    drop(agent);
    lent.join().unwrap();
}

#[test]
fn no_disk_for_the_hints() {
    let agent = TestAgent::with_disk(Some(32 << 20));
    let mut request = write_request(&agent, URL, &"0".repeat(64), json!({}));
    request["params"]["node"]["properties"]["root_device"] = json!({"serial": "nobody has this"});
    assert_eq!(agent.put("/v2/operations/deploy", &request).status, 201);
    let operation = finished(&agent, "deploy");
    assert_eq!(operation["error"]["type"], "DeviceNotFound", "{operation}");
    assert!(operation["error"]["details"].as_str().unwrap().contains(agent.disk().to_str().unwrap()));
}

#[test]
fn prepare_image_over_v1() {
    let agent = TestAgent::with_disk(Some(5 << 30));
    let image = image(4 * MIB);
    let lender = Lender::new(&agent.caller, [(URL, Served::whole(image.clone()))]);
    let lent = lender.lend();
    let info = json!({
        "id": "disk.raw", "urls": [URL], "disk_format": "raw", "transport": "lent",
        "os_hash_algo": "sha256", "os_hash_value": sha256(&image),
    });
    let body = json!({"name": "standby.prepare_image", "params": {"image_info": info}}).to_string();
    let running = agent.post("/v1/commands/", &body).json();
    assert_eq!(running["command_name"], "prepare_image");
    assert_eq!(running["command_status"], "RUNNING");
    let id = running["id"].as_str().unwrap();
    let done = agent.get(&format!("/v1/commands/{id}?wait=true")).json();
    assert_eq!(done["command_status"], "SUCCEEDED", "{done}");
    let text = done["command_result"]["result"].as_str().unwrap();
    assert!(text.starts_with("prepare_image: image (disk.raw) written to device "), "{text}");
    drop(agent);
    lent.join().unwrap();
}

fn wait_for_event(agent: &TestAgent, kind: &str) {
    wait_until(agent, |event| event["kind"] == kind);
}

/// Until bytes are on the disk.
fn wait_for_writing(agent: &TestAgent) {
    wait_until(agent, |event| event["kind"] == "progress" && event["target_bytes"].as_u64() > Some(0));
}

fn wait_until(agent: &TestAgent, wanted: impl Fn(&Value) -> bool) {
    let mut after = 0;
    loop {
        let page = agent.get(&format!("/v2/events?after={after}&wait=30")).json();
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty(), "nothing happened for 30 s");
        if events.iter().any(&wanted) {
            return;
        }
        assert!(!events.iter().any(|event| event["kind"] == "finished"), "{events:?}");
        after = page["last"].as_u64().unwrap();
    }
}

/// The first MiB and the last 33 sectors hold nothing that firmware starts from.
fn assert_not_bootable(agent: &TestAgent) {
    let disk = std::fs::read(agent.disk()).unwrap();
    assert!(disk[..MIB].iter().all(|byte| *byte == 0), "the first MiB");
    assert!(disk[disk.len() - 33 * 512..].iter().all(|byte| *byte == 0), "the backup GPT");
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}
