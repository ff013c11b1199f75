//! Exchanges with a real Ironic 39.0.0, asked again: same status, same keys in the same places, same types.

use axum::body::Body;
use serde_json::Value;

use crate::site::Site;

/// Requests and answers as a proxy before Ironic saw them, one a line.
const RECORDED: &str = include_str!("recorded.json");

/// Where `ours` has another shape than `theirs`. Null is of every type; `free` objects hold what a site puts there.
fn differences(path: &str, theirs: &Value, ours: &Value, out: &mut Vec<String>) {
    const FREE: [&str; 5] =
        ["driver_info", "instance_info", "properties", "driver_internal_info", "target_raid_config"];
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            if FREE.iter().any(|name| path.ends_with(name)) {
                return;
            }
            for key in a.keys().filter(|key| !b.contains_key(*key)) {
                out.push(format!("{path}/{key} is missing"));
            }
            for key in b.keys().filter(|key| !a.contains_key(*key)) {
                out.push(format!("{path}/{key} is too much"));
            }
            for (key, value) in a {
                if let Some(other) = b.get(key) {
                    differences(&format!("{path}/{key}"), value, other, out);
                }
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            if let (Some(a), Some(b)) = (a.first(), b.first()) {
                differences(&format!("{path}[]"), a, b, out);
            }
        }
        (Value::Null, _) | (_, Value::Null) => {}
        (a, b) if std::mem::discriminant(a) != std::mem::discriminant(b) => {
            out.push(format!("{path} is {b}, not like {a}"));
        }
        _ => {}
    }
}

#[tokio::test]
async fn answers_have_the_shape_of_ironics() {
    let site = Site::new();
    let node = site.node("n1").await;
    site.post("/v1/ports", serde_json::json!({"address": "52:54:00:00:00:01", "node_uuid": node["uuid"]}))
        .await
        .ok();
    let exchanges: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    assert!(exchanges.len() > 25);
    let mut wrong = Vec::new();
    for exchange in exchanges {
        let text = |key: &str| exchange[key].as_str().unwrap_or_default().to_owned();
        let (method, path) = (text("method"), text("path"));
        let mut request = exchange["request"].clone();
        if let Value::Object(fields) = &mut request {
            // The machine is ours, the rest of the request theirs.
            fields.entry("driver").and_modify(|driver| *driver = "redfish".into());
            fields.entry("node_uuid").and_modify(|uuid| *uuid = node["uuid"].clone());
            fields.entry("name").and_modify(|name| *name = "again".into());
        }
        let body = if request.is_null() { Body::empty() } else { Body::from(request.to_string()) };
        let answer = site.ask(&method, &path, exchange["version"].as_str(), body).await;
        let mut found = Vec::new();
        if u64::from(answer.status.as_u16()) != exchange["status"].as_u64().unwrap() {
            found.push(format!("status {}: {}", answer.status, answer.body));
        }
        differences("", &exchange["answer"], &answer.body, &mut found);
        // Links to collections that are not served would be lies.
        const UNSERVED: [&str; 8] = [
            "/lookup",
            "/heartbeat",
            "/allocations",
            "/events",
            "/deploy_templates",
            "/runbooks",
            "/inspection_rules",
            "/continue_inspection",
        ];
        found.retain(|text| !UNSERVED.iter().any(|name| text.starts_with(name)));
        wrong.extend(found.into_iter().map(|text| format!("{method} {path}: {text}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
