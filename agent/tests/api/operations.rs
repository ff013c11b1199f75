//! `/v2`: operations, events, clock.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{NODE, TestAgent, finished};

#[test]
fn starting_twice_starts_once() {
    let agent = TestAgent::start();
    let request = json!({"command": "standby.sync", "params": {}});
    let first = agent.put("/v2/operations/one", &request);
    assert_eq!((first.status, first.json()["state"].as_str()), (201, Some("running")));
    let mut state = String::new();
    while state != "succeeded" {
        let again = agent.put("/v2/operations/one", &request);
        assert_eq!(again.status, 200);
        state = again.json()["state"].as_str().unwrap().to_owned();
        assert!(["running", "succeeded"].contains(&state.as_str()), "{state}");
    }
    let other = agent.put("/v2/operations/one", &json!({"command": "poll.get_hardware_info"}));
    assert_eq!(other.status, 409);
    assert_eq!(agent.get("/v2/operations").json().as_array().unwrap().len(), 1);
    // Nothing of it shows in the other face of the API.
    assert_eq!(agent.get("/v1/commands/").text(), "{\"commands\": []}");
    assert_eq!(agent.get("/v1/commands/one").status, 404);
}

#[test]
fn events_by_cursor() {
    let agent = TestAgent::start();
    let waiter = {
        let caller = agent.caller.clone();
        std::thread::spawn(move || caller.request("GET", "/v2/events?after=0&wait=30", None))
    };
    assert_eq!(agent.put("/v2/operations/one", &json!({"command": "standby.sync"})).status, 201);
    let page = waiter.join().unwrap().json();
    assert_eq!(page["events"][0]["kind"], "started");
    assert_eq!(page["events"][0]["operation"], "one");
    assert_eq!(page["events"][0]["seq"], 1);
    let mut after = page["last"].as_u64().unwrap();
    let mut kinds: Vec<String> = Vec::new();
    let mut take = |page: &serde_json::Value| {
        for event in page["events"].as_array().unwrap() {
            kinds.push(event["kind"].as_str().unwrap().to_owned());
        }
        kinds.contains(&"finished".to_owned())
    };
    let mut finished = take(&page);
    while !finished {
        let page = agent.get(&format!("/v2/events?after={after}&wait=30")).json();
        after = page["last"].as_u64().unwrap();
        finished = take(&page);
    }
    // Beyond the last one there is nothing, at once or after the wait.
    assert_eq!(agent.get(&format!("/v2/events?after={after}")).json()["events"], json!([]));
    assert_eq!(agent.get(&format!("/v2/events?after={after}&wait=0.01")).json()["events"], json!([]));
}

#[test]
fn status_and_clock() {
    let begun = Instant::now();
    let agent = TestAgent::start();
    let status = agent.get("/v2/status").json();
    let took = begun.elapsed().as_secs_f64();
    assert_eq!(status["node_uuid"], "1be26c0b-03f2-4d2e-ae87-c02d7f33c123");
    assert_eq!(status["trust"], "media");
    assert!(status["first_answer_uptime"].as_f64().unwrap() > 0.0);
    let startup = status["agent_startup_seconds"].as_f64().unwrap();
    assert!(startup > 0.0 && startup <= took, "{startup} s of {took} s");
    assert!(status["rss_bytes"].as_u64().unwrap() > 0);
    assert!(status["running"].is_null());
    let again = agent.get("/v2/status").json();
    assert_eq!(status["first_answer_uptime"], again["first_answer_uptime"]);
    // This process does not own the machine: it answers with the machine's time.
    let clock = agent.put("/v2/clock", &json!({"unix_time": 1_900_000_000.5}));
    assert_eq!(clock.status, 200);
    assert!((clock.json()["unix_time"].as_f64().unwrap() - 1_900_000_000.5).abs() > 1.0);
}

#[test]
fn leaving_the_machine_is_only_noted_here() {
    let agent = TestAgent::start();
    for command in ["power_off", "run_image"] {
        let body = json!({"name": format!("standby.{command}"), "params": {}}).to_string();
        let answer = agent.post("/v1/commands/?wait=true", &body).json();
        assert_eq!(answer["command_status"], "SUCCEEDED");
        assert!(answer["command_result"].is_null());
    }
    assert_eq!(agent.get("/v1/status").status, 200);
}

#[test]
fn logs_and_inventory() {
    let agent = TestAgent::start();
    let logs = agent.post("/v1/commands/", "{\"name\": \"log.collect_system_logs\", \"params\": {}}").json();
    assert_eq!(logs["command_status"], "SUCCEEDED", "{logs}");
    assert!(logs["command_result"]["system_logs"].as_str().unwrap().starts_with("H4sI"));
    let info = agent.post("/v1/commands/", "{\"name\": \"poll.get_hardware_info\", \"params\": {}}").json();
    let disks = info["command_result"]["disks"].as_array().unwrap();
    assert_eq!(disks.len(), 1, "{disks:?}");
    assert_eq!(disks[0]["size"], 1 << 20);
}

#[test]
fn a_flow_tells_what_its_tasks_proved() {
    let agent = TestAgent::with_disk(Some(8 << 20));
    let step = |name: &str, args: Value| {
        let step = json!({"step": name, "interface": "deploy", "args": args});
        json!({"clean.execute_clean_step": {"step": step, "node": {"uuid": NODE}, "ports": []}})
    };
    let wipe = step("erase_devices_metadata", json!({}));
    let run = |id: &str, flow: Value| {
        let request = json!({"command": "flow.start_flow", "params": {"flow": flow}});
        assert_eq!(agent.put(&format!("/v2/operations/{id}"), &request).status, 201);
        finished(&agent, id)
    };
    let done = run("done", json!([wipe, {"standby.sync": {}}]));
    assert_eq!(done["state"], "succeeded", "{done}");
    assert_eq!(done["result"][0]["result"]["clean_result"]["proofs"][0]["result"], "proven", "{done}");
    assert_eq!(done["result"][1], json!({"command": "standby.sync", "result": null}));

    // The second task touches nothing; the flow has.
    let wrong = step("erase_devices", json!({"method": "shred"}));
    let failed = run("failed", json!([wipe, {"flow.start_flow": {"flow": [wrong]}}]));
    assert_eq!(failed["error"]["details"], "flow.start_flow was failed", "{failed}");
    assert_eq!(failed["error"]["disk"], "not-bootable");
    let proofs = failed["error"]["proofs"].as_array().unwrap();
    assert_eq!((proofs.len(), &proofs[0]["result"]), (1, &json!("proven")));
    assert_eq!(run("untouched", json!([wrong]))["error"]["disk"], "untouched");
}
