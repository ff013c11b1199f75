//! Nodes: list, show, create, delete (API contract §2.2).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::Value;

use super::ApiState;
use super::body::Body;
use super::call::Call;
use super::collection::{Order, PAGING, Page, Selection, check_field};
use super::fault::Fault;
use super::node_fields::{self, interface_kind};
use super::node_view::{self, FIELDS, LISTED};
use super::{node_filters, values};
use crate::node::Node;
use crate::states::ProvisionState;

/// Fields that a new node may bring: what can be patched, without what only an operator of a running node sets, and
/// the rest.
const NOT_AT_CREATION: [&str; 2] = ["protected", "protected_reason"];
const ONLY_AT_CREATION: [&str; 4] = ["uuid", "console_enabled", "boot_mode", "secure_boot"];

/// `GET /v1/nodes`
pub(super) async fn list(State(state): State<ApiState>, call: Call) -> Result<Json<Value>, Fault> {
    let known: Vec<&str> =
        PAGING.into_iter().chain(["fields", "detail"]).chain(node_filters::names()).collect();
    call.only(&known)?;
    page(&state, &call, Selection::of(&call, FIELDS, Some(&LISTED))?).await
}

/// `GET /v1/nodes/detail`
pub(super) async fn list_detail(State(state): State<ApiState>, call: Call) -> Result<Json<Value>, Fault> {
    let known: Vec<&str> = PAGING.into_iter().chain(node_filters::names()).collect();
    call.only(&known)?;
    page(&state, &call, Selection::All).await
}

async fn page(state: &ApiState, call: &Call, selection: Selection) -> Result<Json<Value>, Fault> {
    let conductor = state.store.conductor();
    let nodes = state.read(|tx| tx.nodes()).await?;
    let nodes = node_filters::apply(call, conductor, nodes)?;
    let order = Order { what: "Node", id: &|node: &Node| node.uuid, field: &node_view::field, known: FIELDS };
    let page = Page::of(call, nodes, &order, &selection)?;
    Ok(Json(page.answer("nodes", |node| node_view::render(&node, conductor, call, &selection))))
}

/// `GET /v1/nodes/{node}`
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.only(&["fields"])?;
    let selection = Selection::of(&call, FIELDS, None)?;
    let node = state.node(&call, &ident).await?;
    Ok(Json(node_view::render(&node, state.store.conductor(), &call, &selection)))
}

/// `POST /v1/nodes`
pub(super) async fn create(
    State(state): State<ApiState>,
    call: Call,
    body: Body,
) -> Result<impl IntoResponse, Fault> {
    let node = from_body(&call, body)?;
    let stored = node.clone();
    state.write(move |tx| Ok(tx.create_node(&stored)?)).await?;
    let location = format!("{}/v1/nodes/{}", call.base, node.uuid);
    let view = node_view::render(&node, state.store.conductor(), &call, &Selection::All);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)))
}

fn from_body(call: &Call, body: Body) -> Result<Node, Fault> {
    let mut fields = body.object("node")?;
    let hardware = node_fields::driver(&fields.shift_remove("driver").unwrap_or_default())?;
    let mut node = Node::new(hardware.name);
    // New nodes began to need a check of their BMC with 1.11.
    if call.version.0 < 11 {
        node.provision_state = ProvisionState::Available;
    }
    for (field, value) in fields {
        let settable = node_fields::PATCHABLE.contains(&field.as_str()) || interface_kind(&field).is_some();
        let allowed = settable && !NOT_AT_CREATION.contains(&field.as_str());
        if !allowed && !ONLY_AT_CREATION.contains(&field.as_str()) {
            return Err(Fault::invalid(format!(
                "Schema error for node: Additional properties are not allowed ('{field}' was unexpected)"
            )));
        }
        if !value.is_null() {
            check_field(&field, FIELDS, call.version)?;
        }
        node_fields::set(&mut node, &field, value)?;
    }
    Ok(node)
}

/// `DELETE /v1/nodes/{node}`
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<StatusCode, Fault> {
    let node = state.node(&call, &ident).await?;
    state.unlocked(&node).await?;
    let uuid = node.uuid;
    state
        .write(move |tx| {
            let node = tx.node(uuid)?.ok_or_else(|| Fault::no_node(&ident))?;
            may_delete(&node)?;
            Ok(tx.delete_node(uuid)?)
        })
        .await?;
    state.engine.forget(uuid);
    Ok(StatusCode::NO_CONTENT)
}

fn may_delete(node: &Node) -> Result<(), Fault> {
    use ProvisionState::{Available, Enroll, Manageable};
    let uuid = node.uuid;
    if node.protected {
        return Err(Fault::forbidden(format!(
            "Node {uuid} is protected and cannot be undeployed, rebuilt or deleted"
        )));
    }
    if node.maintenance {
        return Ok(());
    }
    if let Some(instance) = node.instance_uuid {
        return Err(Fault::conflict(format!("Node {uuid} is associated with instance {instance}.")));
    }
    if !matches!(node.provision_state, Enroll | Manageable | Available) {
        return Err(Fault::conflict(format!(
            "Can not delete node \"{uuid}\" while it is in provision state \"{}\". Valid provision states to perform \
             deletion are: \"available, enroll, manageable\", or set the node into maintenance mode",
            node.provision_state
        )));
    }
    Ok(())
}

/// `DELETE /v1/nodes`
pub(super) async fn delete_none() -> Fault {
    Fault::invalid("Missing mandatory parameter: node_ident")
}

/// The node named by the query argument `name` (UUID or name), for collections of its parts.
pub(super) async fn of_argument(state: &ApiState, call: &Call, name: &str) -> Result<Option<Node>, Fault> {
    let Some(ident) = call.argument(name) else { return Ok(None) };
    if name.ends_with("uuid") {
        values::uuid(name, &Value::String(ident.to_owned()))?;
    }
    state.node(call, ident).await.map(Some)
}
