//! Small parts of a node: maintenance, validation, inventory, children (API contract §2.4, §2.5).

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::ApiState;
use super::call::Call;
use super::fault::Fault;
use super::{nodes, values};
use crate::node::Node;

/// `PUT .../maintenance`
pub(super) async fn set_maintenance(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
    body: Bytes,
) -> Result<StatusCode, Fault> {
    let fields = match body.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&body)
            .map_err(|error| Fault::invalid(format!("The request body is not valid JSON: {error}")))?,
    };
    let mut fields = values::object("maintenance", fields)?;
    let reason = values::text("reason", fields.shift_remove("reason").unwrap_or_default(), 4096)?;
    maintenance(&state, &call, &ident, true, reason).await
}

/// `DELETE .../maintenance`
pub(super) async fn unset_maintenance(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<StatusCode, Fault> {
    maintenance(&state, &call, &ident, false, None).await
}

async fn maintenance(
    state: &ApiState,
    call: &Call,
    ident: &str,
    on: bool,
    reason: Option<String>,
) -> Result<StatusCode, Fault> {
    let node = state.node(call, ident).await?;
    state.unlocked(&node).await?;
    let ident = ident.to_owned();
    state
        .write(move |tx| {
            let mut node = tx.node(node.uuid)?.ok_or_else(|| Fault::no_node(&ident))?;
            node.maintenance = on;
            node.maintenance_reason = reason;
            if !on {
                node.fault = None;
            }
            Ok(tx.save_node(&mut node)?)
        })
        .await?;
    Ok(StatusCode::ACCEPTED)
}

/// `GET .../validate`
pub(super) async fn validate(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    let node = state.node(&call, &ident).await?;
    Ok(validation(&state, &node))
}

/// `GET /v1/nodes/validate?node_uuid=`, the older form.
pub(super) async fn validate_by_query(
    State(state): State<ApiState>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.only(&["node", "node_uuid"])?;
    let name = if call.argument("node").is_some() { "node" } else { "node_uuid" };
    let node = nodes::of_argument(&state, &call, name).await?;
    let node = node.ok_or_else(|| Fault::invalid("Missing mandatory parameter: node"))?;
    Ok(validation(&state, &node))
}

fn validation(state: &ApiState, node: &Node) -> Json<Value> {
    let mut results = Map::new();
    for (kind, result) in state.engine.validate(node) {
        let mut one = json!({"result": result.result});
        if let Some(reason) = result.reason {
            one["reason"] = reason.into();
        }
        results.insert(kind.to_owned(), one);
    }
    Json(Value::Object(results))
}

/// `GET .../inventory`
pub(super) async fn inventory(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(81)?;
    let node = state.node(&call, &ident).await?;
    let found = state.read(move |tx| tx.inventory(node.uuid)).await?;
    let (inventory, plugin_data) = found.ok_or_else(|| {
        Fault::not_found(format!("Node inventory record for node {} could not be found.", node.uuid))
    })?;
    Ok(Json(json!({"inventory": inventory, "plugin_data": plugin_data})))
}

/// `GET .../children`
pub(super) async fn children(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(83)?;
    let uuid = state.node(&call, &ident).await?.uuid;
    let nodes = state.read(|tx| tx.nodes()).await?;
    let children: Vec<_> =
        nodes.iter().filter(|node| node.parent_node == Some(uuid)).map(|n| n.uuid).collect();
    let href = format!("{}/v1/nodes?parent_node={uuid}", call.base);
    Ok(Json(json!({"children": children, "links": {"href": href, "rel": "children"}})))
}
