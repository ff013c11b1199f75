//! `protocol.schema.json` says what the types say.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::super::protocol::{Message, Request};

/// What the protocol has, in as many shapes as there are.
fn requests() -> Vec<Value> {
    let context = json!({"node": {"uuid": "n"}, "ports": [], "args": {"a": 1}, "step": "x"});
    let with = |request: &str| {
        let mut all = context.clone();
        all["request"] = json!(request);
        all
    };
    vec![
        json!({"request": "describe"}),
        json!({"request": "evaluate"}),
        json!({"request": "initialize"}),
        json!({"request": "cancel"}),
        json!({"request": "inventory", "part": "bmc_v6address", "found": null}),
        json!({"request": "filter_device", "kind": "usb", "devices": [{"handle": "1"}]}),
        json!({"request": "steps", "node": {}, "ports": []}),
        with("plan_step"),
        with("run_step"),
    ]
}

fn messages() -> Vec<Value> {
    let proof = json!({"device": "/dev/sda", "serial": "S", "model": null, "wwn": null, "firmware": "1",
        "size": 512, "started": "2026-01-01T00:00:00Z", "finished": null, "method": "m", "standard": "clear",
        "actions": ["a"], "verification": ["v"], "result": "proven"});
    let plan = json!({"device": "/dev/sda", "serial": null, "model": "M", "verdict": "refuse", "reasons": ["r"],
        "methods": [{"method": "m", "standard": "none", "estimated_seconds": null, "reason": "r"}]});
    vec![
        json!({"message": "description", "protocol": 1, "name": "n", "version": "1.0-a", "initialize": true,
            "filters": ["disk", "interface", "usb"],
            "inventory": ["interfaces", "cpu", "disks", "memory", "bmc_address", "bmc_v6address", "bmc_mac",
                "system_vendor", "boot"]}),
        json!({"message": "support", "level": 7}),
        json!({"message": "initialized"}),
        json!({"message": "inventory", "part": "bmc_mac", "value": "00:11:22:33:44:55"}),
        json!({"message": "devices", "devices": ["pass", {"hide": "why"}, {"replace": {"name": "x"}}]}),
        json!({"message": "steps", "steps": [
            {"step": "x", "interface": "deploy", "destructive": false},
            {"step": "y", "interface": "raid", "clean": 1, "deploy": 0, "service": -1, "destructive": true,
                "abortable": true, "stop_seconds": 5, "timeout_seconds": 10, "reboot_requested": true,
                "argsinfo": {"a": {"description": "d", "required": true}, "b": {"description": "e"}}}]}),
        json!({"message": "plan", "step": "x", "plan": [plan]}),
        json!({"message": "progress", "stage": "s", "done": 0, "total": 1}),
        json!({"message": "progress", "stage": "s", "device": "/dev/sda", "done": 0, "total": 1,
            "unit": "regions"}),
        json!({"message": "result", "step": "x"}),
        json!({"message": "result", "step": "x", "result": [1], "proofs": [proof]}),
        json!({"message": "error", "details": "d", "retry": true, "touched": false}),
        json!({"message": "unsupported"}),
    ]
}

/// Each of these with one thing wrong.
fn spoiled(good: &[Value]) -> Vec<Value> {
    let mut bad = Vec::new();
    for value in good {
        let members = value.as_object().unwrap();
        for key in members.keys() {
            if ["found", "value", "result", "node", "ports"].contains(&key.as_str()) {
                // These may be anything.
                continue;
            }
            let mut other = value.clone();
            // Of a type that no other member has.
            other[key] = json!(1.5);
            bad.push(other);
        }
        let mut more = value.clone();
        more["mistyped"] = json!(1);
        bad.push(more);
    }
    bad
}

fn is_message(value: &Value) -> bool {
    serde_json::from_value::<Message>(value.clone()).is_ok()
}

fn is_request(value: &Value) -> bool {
    serde_json::from_value::<Request>(value.clone()).is_ok()
}

/// What the schema says of each value, by the Python of the tests' set-up.
pub(super) fn judge(definition: &str, values: &[Value]) -> Vec<bool> {
    const SCRIPT: &str = "
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
schema = {'$schema': schema['$schema'], '$defs': schema['$defs'], '$ref': '#/$defs/' + sys.argv[2]}
validator = jsonschema.Draft202012Validator(schema)
for line in sys.stdin:
    print(json.dumps(validator.is_valid(json.loads(line))))
";
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = top.join("../.cache/venv/bin/python");
    assert!(python.exists(), "`make setup` makes {}", python.display());
    let mut child = Command::new(python)
        .args(["-c", SCRIPT, top.join("protocol.schema.json").to_str().unwrap(), definition])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for value in values {
        writeln!(stdin, "{value}").unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(|line| line == "true").collect()
}

#[test]
fn the_schema_and_the_types_agree() {
    for (definition, good, accepts) in [
        ("request", requests(), is_request as fn(&Value) -> bool),
        ("message", messages(), is_message as fn(&Value) -> bool),
    ] {
        let mut good = good;
        assert!(good.iter().all(accepts), "{definition}");
        // As they are written by us, with everything that the types add.
        let written: Vec<Value> = if definition == "request" {
            let parsed = good.iter().map(|value| serde_json::from_value::<Request>(value.clone()).unwrap());
            parsed.map(|request| serde_json::from_slice(&request.line()).unwrap()).collect()
        } else {
            let parsed = good.iter().map(|value| serde_json::from_value::<Message>(value.clone()).unwrap());
            parsed.map(|message| json!(message)).collect()
        };
        if definition == "request" {
            good.clear();
        }
        good.extend(written);
        for (value, judged) in good.iter().zip(judge(definition, &good)) {
            assert!(judged, "{definition}: the schema refuses {value}");
        }
        let bad = spoiled(&good);
        for (value, judged) in bad.iter().zip(judge(definition, &bad)) {
            assert!(!judged, "{definition}: the schema takes {value}");
            let mut parsed = value.clone();
            // The version stands around a request, and is not the request's own.
            parsed.as_object_mut().unwrap().remove("protocol");
            if definition == "message" || value["protocol"] == json!(1) {
                let refused = if definition == "message" { !accepts(value) } else { !accepts(&parsed) };
                assert!(refused, "{definition}: the types take {value}");
            }
        }
    }
}
