//! Answers of ironic-python-agent 13.0.0 to the same requests, byte for byte (headers and bodies as recorded; `http`
//! is `https` here, and the server's name is ours).

use serde_json::{Value, json};

use crate::support::{Answer, TestAgent};

const NOT_FOUND: &str = "{\"faultcode\": \"Client\", \"faultstring\": \"404 Not Found: The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.\"}";
const NOT_ALLOWED: &str = "{\"faultcode\": \"Client\", \"faultstring\": \"405 Method Not Allowed: The method is not allowed for the requested URL.\"}";

fn assert_answer(answer: &Answer, status: u16, body: &str) {
    assert_eq!(answer.text(), body);
    assert_eq!(answer.status, status, "{body}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("content-length"), Some(body.len().to_string().as_str()));
    assert_eq!(answer.header("server"), Some("tacit-agent"));
}

#[test]
fn documents() {
    let agent = TestAgent::start();
    assert_answer(
        &agent.get("/"),
        200,
        "{\"name\": \"OpenStack Ironic Python Agent API\", \"description\": \"Ironic Python Agent is a provisioning agent for OpenStack Ironic\", \"versions\": [{\"id\": \"v1\", \"links\": [{\"href\": \"https://127.0.0.1:9999/v1\", \"rel\": \"self\"}, {\"href\": \"https://docs.openstack.org/ironic-python-agent/\", \"rel\": \"describedby\", \"type\": \"text/html\"}]}], \"default_version\": {\"id\": \"v1\", \"links\": [{\"href\": \"https://127.0.0.1:9999/v1\", \"rel\": \"self\"}, {\"href\": \"https://docs.openstack.org/ironic-python-agent/\", \"rel\": \"describedby\", \"type\": \"text/html\"}]}}",
    );
    assert_answer(
        &agent.get("/v1/"),
        200,
        "{\"commands\": [{\"href\": \"https://127.0.0.1:9999/v1/commands\", \"rel\": \"self\"}, {\"href\": \"https://127.0.0.1:9999/commands\", \"rel\": \"bookmark\"}], \"status\": [{\"href\": \"https://127.0.0.1:9999/v1/status\", \"rel\": \"self\"}, {\"href\": \"https://127.0.0.1:9999/status\", \"rel\": \"bookmark\"}], \"media_types\": [{\"base\": \"application/json\", \"type\": \"application/vnd.openstack.ironic-python-agent.v1+json\"}], \"id\": \"v1\", \"links\": [{\"href\": \"https://127.0.0.1:9999/v1\", \"rel\": \"self\"}, {\"href\": \"https://docs.openstack.org/ironic-python-agent/\", \"rel\": \"describedby\", \"type\": \"text/html\"}]}",
    );
    let status = agent.get("/v1/status");
    // As text: reading a number and writing it again may change its last digit.
    let expected = status.text();
    let number = expected
        .strip_prefix("{\"started_at\": ")
        .and_then(|rest| rest.strip_suffix(concat!(", \"version\": \"", env!("CARGO_PKG_VERSION"), "\"}")))
        .expect("exactly two fields, in Python's spelling");
    assert!(number.parse::<f64>().is_ok_and(|time| time > 1.7e9), "{number}");
    assert_answer(&status, 200, expected);
    assert_answer(&agent.get("/status"), 200, expected);
    let head = agent.caller.request("HEAD", "/v1/status", None);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(expected.len().to_string().as_str()));
}

#[test]
fn misses() {
    let agent = TestAgent::start();
    for path in ["/v1/status/", "/v1/nope", "/v1/commands/a/", "/nope"] {
        assert_answer(&agent.get(path), 404, NOT_FOUND);
    }
    for method in ["POST", "OPTIONS", "DELETE"] {
        let answer = agent.caller.request(method, "/v1/status", Some(b"{}"));
        assert_answer(&answer, 405, NOT_ALLOWED);
        assert_eq!(answer.header("allow"), Some("GET, HEAD"));
    }
    assert_answer(&agent.caller.request("PUT", "/v1/commands/", None), 405, NOT_ALLOWED);
}

#[test]
fn redirects() {
    let agent = TestAgent::start();
    for (method, path, target) in [
        ("GET", "/v1", "/v1/"),
        ("GET", "/v1/commands", "/v1/commands/"),
        ("POST", "/commands", "/commands/"),
        // IPA repeats the token here, for logs to keep.
        ("POST", "/v1/commands?agent_token=x", "/v1/commands/"),
        ("POST", "/v1/commands?agent_token=x&wait=true", "/v1/commands/?wait=true"),
    ] {
        let answer = agent.caller.request(method, path, None);
        let url = format!("https://127.0.0.1:9999{target}");
        assert_eq!(answer.status, 308);
        assert_eq!(answer.header("location"), Some(url.as_str()));
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(
            answer.text(),
            format!(
                "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n<p>You should be redirected automatically to the target URL: <a href=\"{url}\">{url}</a>. If not, click the link.\n"
            )
        );
    }
}

#[test]
fn refusals() {
    let agent = TestAgent::start();
    let missing = "400 Bad Request: Missing or invalid name or params";
    let no_checksum = "Invalid command parameters: Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and 'os_hash_value' fields pair must be set for image verification.";
    let form = "Invalid command: Command name must be of the form <extension>.<name>";
    let prepare = |info: Value| json!({"name": "standby.prepare_image", "params": info}).to_string();
    let image = |info: Value| prepare(json!({"image_info": info}));
    let cases: Vec<(String, u16, &str)> = vec![
        (
            "".into(),
            400,
            "400 Bad Request: Failed to decode JSON object: Expecting value: line 1 column 1 (char 0)",
        ),
        (
            "{\"name\": ".into(),
            400,
            "400 Bad Request: Failed to decode JSON object: Expecting value: line 1 column 10 (char 9)",
        ),
        ("[]".into(), 400, missing),
        ("\"x\"".into(), 400, missing),
        ("null".into(), 500, "argument of type 'NoneType' is not iterable"),
        ("5".into(), 500, "argument of type 'int' is not iterable"),
        ("{}".into(), 400, missing),
        ("{\"name\": \"standby.sync\"}".into(), 400, missing),
        ("{\"params\": {}}".into(), 400, missing),
        ("{\"name\": \"standby.sync\", \"params\": []}".into(), 400, missing),
        ("{\"name\": \"standby.sync\", \"params\": null}".into(), 400, missing),
        ("{\"name\": 5, \"params\": {}}".into(), 500, "'int' object has no attribute 'split'"),
        ("{\"name\": null, \"params\": {}}".into(), 500, "'NoneType' object has no attribute 'split'"),
        ("{\"name\": \"\", \"params\": {}}".into(), 400, form),
        ("{\"name\": \"sync\", \"params\": {}}".into(), 400, form),
        (
            "{\"name\": \"nope.nope\", \"params\": {}}".into(),
            404,
            "Not found: Extension with id nope not found.",
        ),
        (
            "{\"name\": \"standby.nope\", \"params\": {}, \"extra\": 1}".into(),
            400,
            "Invalid command: Unknown command: nope",
        ),
        (
            "{\"name\": \"standby.sync.x\", \"params\": {}}".into(),
            400,
            "Invalid command: Unknown command: sync.x",
        ),
        (
            "{\"name\": \"standby.sync\", \"params\": {\"command_name\": \"x\"}}".into(),
            500,
            "ExecuteCommandMixin.execute_command() got multiple values for argument 'command_name'",
        ),
        (prepare(json!({})), 400, "Invalid command parameters: Image is missing 'id' field."),
        (image(json!({"id": "x"})), 400, "Invalid command parameters: Image is missing 'urls' field."),
        (
            image(json!({"id": "x", "urls": "http://x"})),
            400,
            "Invalid command parameters: Image 'urls' must be a list with at least one element.",
        ),
        (image(json!({"id": "x", "urls": ["http://x"]})), 400, no_checksum),
        (
            image(json!({"id": "x", "urls": ["http://x"], "checksum": "00000000000000000000000000000000"})),
            400,
            no_checksum,
        ),
        (
            image(json!({"id": "x", "urls": ["http://x"], "os_hash_algo": "sha512"})),
            400,
            "Invalid command parameters: Image 'os_hash_value' must be a non-empty string.",
        ),
    ];
    for (body, status, text) in cases {
        let code = if status >= 500 { "Server" } else { "Client" };
        let expected = format!("{{\"faultcode\": \"{code}\", \"faultstring\": \"{text}\"}}");
        assert_answer(&agent.post("/v1/commands/?agent_token=x", &body), status, &expected);
    }
    assert_answer(&agent.get("/v1/commands/"), 200, "{\"commands\": []}");
    assert_answer(
        &agent.get("/v1/commands/no-such-id"),
        404,
        "{\"faultcode\": \"Client\", \"faultstring\": \"Not found: Command Result with id no-such-id not found.\"}",
    );
}

/// The command as it is answered, its id taken from the answer.
fn command(answer: &Answer, name: &str, status: &str, error: &str, result: &str) -> String {
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    format!(
        "{{\"id\": \"{id}\", \"command_name\": \"{name}\", \"command_status\": \"{status}\", \"command_error\": {error}, \"command_result\": {result}}}"
    )
}

#[test]
fn commands_are_answered_and_listed() {
    let agent = TestAgent::start();
    let sync = agent.post("/v1/commands/", "{\"name\": \"standby.sync\", \"params\": {}}");
    let sync_text = command(&sync, "sync", "SUCCEEDED", "null", "null");
    assert_answer(&sync, 200, &sync_text);
    let uuids =
        agent.post("/commands/?wait=TRUE", "{\"name\": \"standby.get_partition_uuids\", \"params\": {}}");
    let uuids_text = command(&uuids, "get_partition_uuids", "SUCCEEDED", "null", "{}");
    assert_answer(&uuids, 200, &uuids_text);
    // What Python cannot say (IPA answers 500 here, and to every list afterwards) is a failure like others.
    let odd = agent.post("/v1/commands/", "{\"name\": \"standby.sync\", \"params\": {\"x\": 1}}");
    let odd_text = command(
        &odd,
        "standby.sync",
        "FAILED",
        "{\"type\": \"TypeError\", \"code\": 500, \"message\": \"Command called with wrong parameters\", \"details\": \"StandbyExtension.sync() got an unexpected keyword argument 'x'\"}",
        "null",
    );
    assert_answer(&odd, 200, &odd_text);
    assert_answer(
        &agent.get("/v1/commands/"),
        200,
        &format!("{{\"commands\": [{sync_text}, {uuids_text}, {odd_text}]}}"),
    );
    let id = sync.json()["id"].as_str().unwrap().to_owned();
    assert_answer(&agent.get(&format!("/commands/{id}?wait=true")), 200, &sync_text);
}

#[test]
fn steps() {
    let agent = TestAgent::start();
    let node = json!({"uuid": "1be26c0b-03f2-4d2e-ae87-c02d7f33c123", "properties": {}, "instance_info": {}});
    let ask = |name: &str, params: Value| {
        agent.post("/v1/commands/?wait=true", &json!({"name": name, "params": params}).to_string())
    };
    let clean = ask("clean.get_clean_steps", json!({"node": node, "ports": []})).json();
    assert_eq!(clean["command_name"], "get_clean_steps");
    let result = &clean["command_result"];
    assert_eq!(result["clean_steps"]["GenericHardwareManager"][0]["step"], "erase_devices_metadata");
    assert_eq!(result["clean_steps"]["GenericHardwareManager"][0]["priority"], 99);
    let version = result["hardware_manager_version"].clone();
    assert_eq!(version["generic_hardware_manager"], "1.2");
    let deploy = ask("deploy.get_deploy_steps", json!({"node": node, "ports": []})).json();
    let steps = deploy["command_result"]["deploy_steps"]["ImagingHardwareManager"].clone();
    assert_eq!(steps[0]["step"], "write_image");

    let step = json!({"step": "nope", "interface": "deploy", "priority": 1});
    let answer = ask(
        "clean.execute_clean_step",
        json!({"step": step, "node": node, "ports": [], "clean_version": version}),
    );
    let text = command(
        &answer,
        "execute_clean_step",
        "FAILED",
        "{\"type\": \"HardwareManagerMethodNotFound\", \"code\": 500, \"message\": \"No HardwareManager found to handle method\", \"details\": \"Could not find method: nope\"}",
        "null",
    );
    assert_answer(&answer, 200, &text);

    let answer = ask(
        "clean.execute_clean_step",
        json!({"step": {}, "node": node, "ports": [], "clean_version": version}),
    );
    let text = command(
        &answer,
        "execute_clean_step",
        "FAILED",
        "{\"type\": \"CommandExecutionError\", \"code\": 500, \"message\": \"Command execution failed\", \"details\": \"Malformed clean_step, no \\\"step\\\" key: {}\"}",
        "null",
    );
    assert_answer(&answer, 200, &text);

    let answer = ask(
        "clean.execute_clean_step",
        json!({"step": step, "node": node, "ports": [], "clean_version": {"generic_hardware_manager": "0.1"}}),
    )
    .json();
    assert_eq!(answer["command_status"], "CLEAN_VERSION_MISMATCH");
    assert_eq!(answer["command_error"]["type"], "VersionMismatch");
    assert_eq!(answer["command_error"]["code"], 409);
    let details = answer["command_error"]["details"].as_str().unwrap();
    assert!(
        details.ends_with("'generic_hardware_manager': '1.2', 'tacit_imaging': '0.1.0'}, versions used by ironic: {'generic_hardware_manager': '0.1'}"),
        "{details}"
    );
}

#[test]
fn a_wiped_disk_is_echoed() {
    let agent = TestAgent::start();
    let step =
        json!({"step": "erase_devices_metadata", "interface": "deploy", "priority": 10, "ä": [1.5, null]});
    let node = json!({"uuid": "x", "properties": {}, "instance_info": {}, "driver_internal_info": {}});
    let params = json!({"step": step, "node": node, "ports": []});
    let body = json!({"name": "clean.execute_clean_step", "params": params}).to_string();
    let answer = agent.post("/v1/commands/?wait=true", &body);
    let command = answer.json();
    assert_eq!(command["command_status"], "SUCCEEDED", "{command}");
    assert_eq!(command["command_result"]["clean_step"], step);
    assert!(answer.text().contains("\"clean_step\": {\"step\": \"erase_devices_metadata\", \"interface\": \"deploy\", \"priority\": 10, \"\\u00e4\": [1.5, null]}"));
    let disk = std::fs::read(agent.disk()).unwrap();
    assert!(disk[..512].iter().all(|byte| *byte == 0));
}
