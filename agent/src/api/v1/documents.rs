//! The documents of IPA contract §1.3.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, Response, StatusCode, Uri};
use serde_json::{Value, json};

use super::super::json::respond;
use super::redirect::base;
use crate::agent::Agent;
use crate::tls::Peer;

pub(super) async fn root(Extension(peer): Extension<Peer>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let version = json!({"id": "v1", "links": links(&base(peer, &uri, &headers))});
    respond(
        StatusCode::OK,
        &json!({
            "name": "OpenStack Ironic Python Agent API",
            "description": "Ironic Python Agent is a provisioning agent for OpenStack Ironic",
            "versions": [version],
            "default_version": version,
        }),
    )
}

pub(super) async fn v1(Extension(peer): Extension<Peer>, uri: Uri, headers: HeaderMap) -> Response<Body> {
    let base = base(peer, &uri, &headers);
    let pair = |name: &str| {
        json!([
            {"href": format!("{base}/v1/{name}"), "rel": "self"},
            {"href": format!("{base}/{name}"), "rel": "bookmark"},
        ])
    };
    respond(
        StatusCode::OK,
        &json!({
            "commands": pair("commands"),
            "status": pair("status"),
            "media_types": [{
                "base": "application/json",
                "type": "application/vnd.openstack.ironic-python-agent.v1+json",
            }],
            "id": "v1",
            "links": links(&base),
        }),
    )
}

pub(super) async fn status(State(agent): State<Arc<Agent>>) -> Response<Body> {
    let status = json!({"started_at": agent.timeline.started_at, "version": env!("CARGO_PKG_VERSION")});
    respond(StatusCode::OK, &status)
}

fn links(base: &str) -> Value {
    json!([
        {"href": format!("{base}/v1"), "rel": "self"},
        {"href": "https://docs.openstack.org/ironic-python-agent/", "rel": "describedby", "type": "text/html"},
    ])
}
