//! Parts of Ironic's API that have nothing behind them here: empty lists where that is the truth, else refusals that
//! say so. Existing clients ask for these along the way.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};

use super::ApiState;
use super::body::Body;
use super::call::Call;
use super::fault::Fault;
use crate::node::Node;

type Parts = std::collections::HashMap<String, String>;

async fn node_of(state: &ApiState, call: &Call, parts: &Parts) -> Result<Node, Fault> {
    state.node(call, parts.get("node").map(String::as_str).unwrap_or_default()).await
}

fn no_support(node: &Node, what: &str) -> Fault {
    Fault::invalid(format!("Driver {} does not support {what} (disabled or not implemented).", node.driver))
}

/// Anything that the hardware types here do not do.
pub(super) async fn unsupported(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<StatusCode, Fault> {
    let node = node_of(&state, &call, &parts).await?;
    let tail = call.path.split('/').skip(4).collect::<Vec<_>>().join("/");
    Err(no_support(&node, &tail))
}

pub(super) async fn console(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    let node = node_of(&state, &call, &parts).await?;
    Ok(Json(json!({"console_enabled": node.console_enabled, "console_info": null})))
}

pub(super) async fn no_console(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<StatusCode, Fault> {
    Err(no_support(&node_of(&state, &call, &parts).await?, "console"))
}

pub(super) async fn no_raid(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<StatusCode, Fault> {
    call.since(12)?;
    let node = node_of(&state, &call, &parts).await?;
    Err(Fault::not_found(format!(
        "Driver {} does not support raid (disabled or not implemented).",
        node.driver
    )))
}

pub(super) async fn vifs(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    empty(&state, &parts, &call, 28, "vifs").await
}

/// With the network interface `noop` there is nothing to attach to, and Ironic says yes.
pub(super) async fn attach_vif(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
    body: Body,
) -> Result<StatusCode, Fault> {
    call.since(28)?;
    node_of(&state, &call, &parts).await?;
    let fields = body.object("VIF")?;
    if !fields.get("id").is_some_and(Value::is_string) {
        return Err(Fault::invalid("Schema error for VIF: 'id' is a required property"));
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn detach_vif(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<StatusCode, Fault> {
    call.since(28)?;
    let node = node_of(&state, &call, &parts).await?;
    let vif = parts.get("vif").map(String::as_str).unwrap_or_default();
    Err(Fault::invalid(format!("VIF {vif} is not attached to node {}.", node.uuid)))
}

pub(super) async fn bios(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    empty(&state, &parts, &call, 40, "bios").await
}

pub(super) async fn bios_setting(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(40)?;
    let node = node_of(&state, &call, &parts).await?;
    let setting = parts.get("setting").map(String::as_str).unwrap_or_default();
    Err(Fault::not_found(format!("Node {} doesn't have a BIOS setting '{setting}'", node.uuid)))
}

pub(super) async fn firmware(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    empty(&state, &parts, &call, 86, "firmware").await
}

pub(super) async fn node_portgroups(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    empty(&state, &parts, &call, 24, "portgroups").await
}

async fn empty(
    state: &ApiState,
    parts: &Parts,
    call: &Call,
    since: u16,
    name: &str,
) -> Result<Json<Value>, Fault> {
    call.since(since)?;
    node_of(state, call, parts).await?;
    Ok(Json(json!({name: []})))
}

pub(super) async fn no_allocation(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<StatusCode, Fault> {
    call.since(52)?;
    let node = node_of(&state, &call, &parts).await?;
    Err(Fault::not_found(format!("Allocation with node {} could not be found.", node.uuid)))
}

pub(super) async fn vendor_methods(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    node_of(&state, &call, &parts).await?;
    Ok(Json(json!({})))
}

/// Ironic takes an unknown element below a node for a field.
pub(super) async fn unknown_field(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<StatusCode, Fault> {
    node_of(&state, &call, &parts).await?;
    let field = parts.get("field").map(String::as_str).unwrap_or_default();
    Err(Fault::invalid(format!("Field {field} is not a valid field.")))
}

pub(super) async fn portgroups(call: Call) -> Result<Json<Value>, Fault> {
    call.since(23)?;
    Ok(Json(json!({"portgroups": []})))
}

pub(super) async fn chassis() -> Json<Value> {
    Json(json!({"chassis": []}))
}

pub(super) async fn volume(call: Call) -> Result<Json<Value>, Fault> {
    call.since(32)?;
    Ok(Json(volume_document(&call, "volume")))
}

pub(super) async fn node_volume(
    State(state): State<ApiState>,
    Path(parts): Path<Parts>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(32)?;
    let node = node_of(&state, &call, &parts).await?;
    Ok(Json(volume_document(&call, &format!("nodes/{}/volume", node.uuid))))
}

fn volume_document(call: &Call, path: &str) -> Value {
    json!({
        "links": call.links(&format!("{path}/")),
        "connectors": call.links(&format!("{path}/connectors")),
        "targets": call.links(&format!("{path}/targets")),
    })
}

pub(super) async fn volume_connectors(call: Call) -> Result<Json<Value>, Fault> {
    call.since(32)?;
    Ok(Json(json!({"connectors": []})))
}

pub(super) async fn volume_targets(call: Call) -> Result<Json<Value>, Fault> {
    call.since(32)?;
    Ok(Json(json!({"targets": []})))
}

/// `POST /v1/events`: what a network service would tell; nothing here waits for it.
pub(super) async fn external_events(call: Call, body: Body) -> Result<StatusCode, Fault> {
    call.since(54)?;
    let fields = body.object("events")?;
    match fields.get("events").and_then(Value::as_array) {
        Some(events) if !events.is_empty() => Ok(StatusCode::NO_CONTENT),
        _ => Err(Fault::invalid("Schema error: 'events' should be a non-empty list")),
    }
}
