//! Ports: list, show, create, patch, delete (API contract §2.6).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use uuid::Uuid;

use super::ApiState;
use super::body::Body;
use super::call::Call;
use super::collection::{Order, PAGING, Page, Selection, check_field};
use super::fault::Fault;
use super::port_view::{self, FIELDS, LISTED, PATCHABLE};
use super::{nodes, patch as json_patch, values};
use crate::node::Node;
use crate::port::{Port, normal_mac};
use crate::states::ProvisionState as S;

const FILTERS: [&str; 7] =
    ["node", "node_uuid", "address", "portgroup", "shard", "description_contains", "conductor_groups"];

/// `GET /v1/ports`
pub(super) async fn list(State(state): State<ApiState>, call: Call) -> Result<Json<Value>, Fault> {
    // Metalsmith asks the network service for ports of a host; without one this is where the question arrives.
    if call.argument("binding:host_id").is_some() {
        return Ok(Json(json!({"ports": []})));
    }
    let known: Vec<&str> = PAGING.into_iter().chain(["fields", "detail"]).chain(FILTERS).collect();
    call.only(&known)?;
    filtered(&state, &call, Selection::of(&call, FIELDS, Some(&LISTED))?).await
}

/// `GET /v1/ports/detail`
pub(super) async fn list_detail(State(state): State<ApiState>, call: Call) -> Result<Json<Value>, Fault> {
    let known: Vec<&str> = PAGING.into_iter().chain(FILTERS).collect();
    call.only(&known)?;
    filtered(&state, &call, Selection::All).await
}

/// `GET /v1/nodes/{node}/ports`
pub(super) async fn list_of_node(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    let known: Vec<&str> = PAGING.into_iter().chain(["fields", "detail"]).collect();
    call.only(&known)?;
    let selection = Selection::of(&call, FIELDS, Some(&LISTED))?;
    let node = state.node(&call, &ident).await?;
    let ports = state.read(move |tx| tx.ports_of(node.uuid)).await?;
    page(&call, ports, &selection)
}

/// `GET /v1/nodes/{node}/ports/detail`
pub(super) async fn list_of_node_detail(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.only(&PAGING)?;
    let node = state.node(&call, &ident).await?;
    let ports = state.read(move |tx| tx.ports_of(node.uuid)).await?;
    page(&call, ports, &Selection::All)
}

async fn filtered(state: &ApiState, call: &Call, selection: Selection) -> Result<Json<Value>, Fault> {
    if call.argument("portgroup").is_some() {
        return Err(Fault::not_found("Portgroup could not be found."));
    }
    let mut node = None;
    for name in ["node", "node_uuid"] {
        node = node.or(nodes::of_argument(state, call, name).await?);
    }
    let mut ports = match node {
        Some(node) => state.read(move |tx| tx.ports_of(node.uuid)).await?,
        None => state.read(|tx| tx.ports()).await?,
    };
    if let Some(text) = call.argument("address") {
        let address = normal_mac(text)
            .ok_or_else(|| Fault::invalid(format!("Expected valid MAC address for address: {text}")))?;
        ports.retain(|port| port.address == address);
    }
    if let Some(wanted) = call.argument("description_contains") {
        let wanted = wanted.to_lowercase();
        ports.retain(|port| port.description.as_ref().is_some_and(|d| d.to_lowercase().contains(&wanted)));
    }
    let by_node = ["shard", "conductor_groups"].map(|name| call.argument(name).map(str::to_lowercase));
    if by_node.iter().any(Option::is_some) {
        let [shards, groups] = by_node;
        let among = |list: &Option<String>, value: &str| {
            list.as_ref().is_none_or(|list| list.split(',').any(|one| one == value.to_lowercase()))
        };
        let passes = |node: &Node| {
            among(&shards, node.shard.as_deref().unwrap_or_default()) && among(&groups, &node.conductor_group)
        };
        let nodes: Vec<Uuid> =
            state.read(|tx| tx.nodes()).await?.iter().filter(|n| passes(n)).map(|n| n.uuid).collect();
        ports.retain(|port| nodes.contains(&port.node_uuid));
    }
    page(call, ports, &selection)
}

fn page(call: &Call, ports: Vec<Port>, selection: &Selection) -> Result<Json<Value>, Fault> {
    let field = |port: &Port, name: &str| port_view::all(port).remove(name).unwrap_or_default();
    let order = Order { what: "Port", id: &|port: &Port| port.uuid, field: &field, known: FIELDS };
    let page = Page::of(call, ports, &order, selection)?;
    Ok(Json(page.answer("ports", |port| port_view::render(&port, call, selection))))
}

async fn find(state: &ApiState, ident: &str) -> Result<Port, Fault> {
    let wanted = ident.to_owned();
    let port = state.read(move |tx| tx.port_by_ident(&wanted)).await?;
    port.ok_or_else(|| Fault::not_found(format!("Port {ident} could not be found.")))
}

/// `GET /v1/ports/{port}`
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.only(&["fields"])?;
    let selection = Selection::of(&call, FIELDS, None)?;
    let port = find(&state, &ident).await?;
    Ok(Json(port_view::render(&port, &call, &selection)))
}

/// `POST /v1/ports`
pub(super) async fn create(
    State(state): State<ApiState>,
    call: Call,
    body: Body,
) -> Result<impl IntoResponse, Fault> {
    let mut fields = body.object("port")?;
    let address = fields.shift_remove("address");
    let address =
        address.ok_or_else(|| Fault::invalid("Schema error for port: 'address' is a required property"))?;
    let address = port_view::address(&address)?;
    let (by_uuid, by_ident) = (fields.shift_remove("node_uuid"), fields.shift_remove("node_ident"));
    if by_ident.is_some() && call.version.0 < 94 {
        return Err(Fault::too_new());
    }
    let ident = match (by_uuid, by_ident) {
        (Some(one), None) | (None, Some(one)) => one.as_str().unwrap_or_default().to_owned(),
        _ => {
            return Err(Fault::invalid(
                "Schema error for port: exactly one of 'node_uuid' and 'node_ident' is required",
            ));
        }
    };
    // A parent that does not exist is the fault of the body, not of the path.
    let missing = || Fault::invalid(format!("Node {ident} could not be found."));
    let wanted = ident.clone();
    let node = state.read(move |tx| tx.node_by_ident(&wanted)).await?.ok_or_else(missing)?;
    let mut port = Port::new(node.uuid, address);
    for (field, value) in fields {
        match field.as_str() {
            "uuid" => port.uuid = values::uuid("uuid", &value)?.unwrap_or(port.uuid),
            "portgroup_uuid" => no_portgroup(&value)?,
            _ => {
                if !value.is_null() && PATCHABLE.contains(&field.as_str()) {
                    check_field(&field, FIELDS, call.version)?;
                }
                port_view::set(&mut port, &field, value)?;
            }
        }
    }
    let stored = port.clone();
    state.write(move |tx| Ok(tx.create_port(&stored)?)).await?;
    let location = format!("{}/v1/ports/{}", call.base, port.uuid);
    let view = port_view::render(&port, &call, &Selection::All);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(view)))
}

fn no_portgroup(value: &Value) -> Result<(), Fault> {
    match values::uuid("portgroup_uuid", value)? {
        None => Ok(()),
        Some(group) => Err(Fault::invalid(format!("Portgroup {group} could not be found."))),
    }
}

/// `PATCH /v1/ports/{port}`
pub(super) async fn patch(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Fault> {
    call.only(&[])?;
    let operations = json_patch::parse(body.0)?;
    let mut roots: Vec<String> = Vec::new();
    for operation in &operations {
        let root = operation.path[0].clone();
        if !PATCHABLE.contains(&root.as_str()) && root != "node_uuid" && root != "portgroup_uuid" {
            let known = PATCHABLE.join(", ");
            return Err(Fault::invalid(format!(
                "Cannot patch /{}. Only the following can be updated: {known}, node_uuid, portgroup_uuid",
                operation.path.join("/")
            )));
        }
        check_field(&root, FIELDS, call.version)?;
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    let port = find(&state, &ident).await?;
    if operations.is_empty() {
        return Ok(Json(port_view::render(&port, &call, &Selection::All)));
    }
    let owner = port.node_uuid;
    let node =
        state.read(move |tx| tx.node(owner)).await?.ok_or_else(|| Fault::no_node(&owner.to_string()))?;
    state.unlocked(&node).await?;
    let port = state
        .write(move |tx| {
            let missing = || Fault::not_found(format!("Port {ident} could not be found."));
            let stored = tx.port(port.uuid)?.ok_or_else(missing)?;
            let mut document = port_view::all(&stored);
            json_patch::apply(&mut document, operations)?;
            let mut port = stored.clone();
            for root in &roots {
                let value = document.shift_remove(root).unwrap_or_default();
                match root.as_str() {
                    "node_uuid" => {
                        let new = values::uuid("node_uuid", &value)?.unwrap_or_default();
                        tx.node(new)?
                            .ok_or_else(|| Fault::invalid(format!("Node {new} could not be found.")))?;
                        port.node_uuid = new;
                    }
                    "portgroup_uuid" => no_portgroup(&value)?,
                    _ => port_view::set(&mut port, root, value)?,
                }
            }
            let node = tx.node(stored.node_uuid)?.ok_or_else(missing)?;
            check_change(&node, &stored, &port)?;
            tx.save_port(&mut port)?;
            Ok(port)
        })
        .await?;
    Ok(Json(port_view::render(&port, &call, &Selection::All)))
}

/// What only a node at rest may have changed.
fn check_change(node: &Node, stored: &Port, port: &Port) -> Result<(), Fault> {
    let state = node.provision_state;
    let quiet =
        node.maintenance || matches!(state, S::Enroll | S::Inspecting | S::InspectWait | S::Manageable);
    let rewired = stored.local_link_connection != port.local_link_connection
        || stored.pxe_enabled != port.pxe_enabled
        || stored.physical_network != port.physical_network
        || stored.is_smartnic != port.is_smartnic;
    if rewired && !quiet {
        return Err(Fault::conflict(format!(
            "Port {} can not have its connectivity updated while node {} is in state '{state}'.",
            port.uuid, node.uuid
        )));
    }
    let in_use = node.provision_state == S::Active || node.instance_uuid.is_some();
    if stored.address != port.address && in_use && !node.maintenance {
        return Err(Fault::conflict(format!(
            "Cannot update the address of port {} while node {} is in use.",
            port.uuid, node.uuid
        )));
    }
    Ok(())
}

/// `DELETE /v1/ports/{port}`
pub(super) async fn delete(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
) -> Result<StatusCode, Fault> {
    let port = find(&state, &ident).await?;
    let node = state.read(move |tx| tx.node(port.node_uuid)).await?;
    if let Some(node) = node {
        state.unlocked(&node).await?;
    }
    state.write(move |tx| Ok(tx.delete_port(port.uuid)?)).await?;
    Ok(StatusCode::NO_CONTENT)
}
