//! The root documents (API contract §1.4), where clients learn the versions.

use axum::Json;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::fault::Fault;
use super::version::{MAX, MIN, Version};

/// Collections by the version that brought them. The ramdisk's call-in paths are not among them: agents are dialled.
const COLLECTIONS: [(&str, u16); 7] = [
    ("chassis", 1),
    ("nodes", 1),
    ("ports", 1),
    ("drivers", 1),
    ("portgroups", 23),
    ("volume", 32),
    ("conductors", 49),
];

fn version_document(call: &Call) -> Value {
    json!({
        "id": "v1",
        "links": [{"href": format!("{}/v1/", call.base), "rel": "self"}],
        "status": "CURRENT",
        "min_version": MIN.to_string(),
        "version": MAX.to_string(),
    })
}

/// `GET /`
pub(super) async fn service(call: Call) -> Json<Value> {
    let version = version_document(&call);
    Json(json!({
        "name": "OpenStack Ironic API",
        "description": "Tacit: bare-metal deployment with silent agents, served in the shapes of the Ironic API.",
        "default_version": version,
        "versions": [version],
    }))
}

/// `GET /v1`
pub(super) async fn v1(call: Call) -> Result<Json<Value>, Fault> {
    let base = &call.base;
    let mut document = Map::new();
    document.insert("id".into(), "v1".into());
    let docs = "https://docs.openstack.org/api-ref/baremetal/";
    let links = json!([
        {"href": format!("{base}/v1/"), "rel": "self"},
        {"href": docs, "rel": "describedby", "type": "text/html"},
    ]);
    document.insert("links".into(), links);
    let media = json!({"base": "application/json", "type": "application/vnd.openstack.ironic.v1+json"});
    document.insert("media_types".into(), media);
    document.insert("version".into(), version_document(&call));
    for (name, _) in COLLECTIONS.iter().filter(|(_, since)| call.version >= Version(*since)) {
        document.insert((*name).to_owned(), call.links(&format!("{name}/")));
    }
    if call.version >= Version(82) {
        document.insert("shards".into(), call.links("shards/"));
    }
    Ok(Json(Value::Object(document)))
}
