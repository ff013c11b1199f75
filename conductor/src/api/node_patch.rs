//! `PATCH /v1/nodes/{node}` (API contract §2.3).

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value};

use super::ApiState;
use super::body::Body;
use super::call::Call;
use super::collection::{Selection, check_field};
use super::fault::Fault;
use super::node_fields::{self, PATCHABLE, interface_kind};
use super::node_view::{self, FIELDS};
use super::patch::{self, Operation};
use crate::hardware_types::KINDS;
use crate::node::Node;
use crate::states::ProvisionState as S;

pub(super) async fn patch(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
    body: Body,
) -> Result<Json<Value>, Fault> {
    call.only(&["reset_interfaces"])?;
    let reset = call.flag("reset_interfaces")?;
    if reset.is_some() && call.version.0 < 45 {
        return Err(Fault::too_new());
    }
    let node = state.node(&call, &ident).await?;
    let operations = patch::parse(body.0)?;
    check_roots(&call, &operations)?;
    let drives = operations.iter().any(|o| o.path[0] == "driver");
    let reset = reset.unwrap_or(false);
    if reset && !drives {
        return Err(Fault::invalid(
            "The reset_interfaces parameter can only be used when changing the node's driver.",
        ));
    }
    check_state(&call, &node, &ident, &operations)?;
    if !operations.is_empty() {
        state.unlocked(&node).await?;
    }
    let uuid = node.uuid;
    let strict = call.version.0 >= 39;
    let node = state
        .write(move |tx| {
            let stored = tx.node(uuid)?.ok_or_else(|| Fault::no_node(&ident))?;
            if operations.is_empty() {
                return Ok(stored);
            }
            // Work may have begun since the check above.
            blocked(&stored, &ident, &operations, strict)?;
            let mut patched = patched(&stored, operations, reset)?;
            check_change(&stored, &patched)?;
            tx.save_node(&mut patched)?;
            Ok(patched)
        })
        .await?;
    Ok(Json(node_view::render(&node, state.store.conductor(), &call, &Selection::All)))
}

fn is_patchable(field: &str) -> bool {
    PATCHABLE.contains(&field) || interface_kind(field).is_some()
}

fn check_roots(call: &Call, operations: &[Operation]) -> Result<(), Fault> {
    for operation in operations {
        let root = &operation.path[0];
        if !is_patchable(root) {
            let mut known: Vec<String> = PATCHABLE.iter().map(|f| (*f).to_owned()).collect();
            known.extend(KINDS.iter().map(|kind| format!("{kind}_interface")));
            known.sort();
            return Err(Fault::invalid(format!(
                "Cannot patch /{}. Only the following can be updated: {}",
                operation.path.join("/"),
                known.join(", ")
            )));
        }
        check_field(root, FIELDS, call.version)?;
    }
    Ok(())
}

fn check_state(call: &Call, node: &Node, ident: &str, operations: &[Operation]) -> Result<(), Fault> {
    blocked(node, ident, operations, call.version.0 >= 39)
}

/// 409 while something changes the node's state.
fn blocked(node: &Node, ident: &str, operations: &[Operation], strict: bool) -> Result<(), Fault> {
    let frees_instance = matches!(operations, [only] if only.removes() && only.path == ["instance_uuid"]);
    if node.maintenance && frees_instance {
        return Ok(());
    }
    let open = matches!(
        node.provision_state,
        S::DeployFailed
            | S::Inspecting
            | S::InspectFailed
            | S::InspectWait
            | S::CleanFailed
            | S::Error
            | S::Verifying
    );
    let inspecting = strict && node.provision_state == S::Inspecting;
    if (node.target_provision_state.is_some() && !open) || inspecting {
        return Err(Fault::conflict(format!(
            "Node {ident} can not be updated while a state transition is in progress."
        )));
    }
    Ok(())
}

/// The node with all operations carried out.
fn patched(stored: &Node, operations: Vec<Operation>, reset_interfaces: bool) -> Result<Node, Fault> {
    let mut document = document(stored);
    let mut roots: Vec<String> = Vec::new();
    for operation in &operations {
        if !roots.contains(&operation.path[0]) {
            roots.push(operation.path[0].clone());
        }
    }
    patch::apply(&mut document, operations)?;
    let mut node = stored.clone();
    if roots.iter().any(|root| root == "driver") {
        let value = document.get("driver").cloned().unwrap_or_default();
        node.driver = node_fields::driver(&value)?.name.to_owned();
        for kind in KINDS {
            let field = format!("{kind}_interface");
            let given = roots.contains(&field);
            let value = match node.interfaces.get(kind) {
                Some(name) if !reset_interfaces => name.clone().into(),
                _ => Value::Null,
            };
            if !given {
                node_fields::set(&mut node, &field, value)?;
            }
        }
    }
    for root in roots.iter().filter(|root| *root != "driver") {
        // A removed field is reset to its default, as null is.
        let value = document.shift_remove(root).unwrap_or_default();
        node_fields::set(&mut node, root, value)?;
    }
    Ok(node)
}

/// The patchable fields of a node, secrets and all. Fields that are null are present: they can be replaced.
fn document(node: &Node) -> Map<String, Value> {
    let Ok(Value::Object(mut document)) = serde_json::to_value(node) else { return Map::new() };
    for (kind, implementation) in &node.interfaces {
        document.insert(format!("{kind}_interface"), implementation.clone().into());
    }
    document.retain(|field, _| is_patchable(field));
    document
}

/// Changes that only some states allow.
fn check_change(stored: &Node, patched: &Node) -> Result<(), Fault> {
    let uuid = stored.uuid;
    let state = stored.provision_state;
    let quiet = matches!(state, S::Enroll | S::Inspecting | S::InspectWait | S::Manageable | S::Available);
    if stored.interfaces != patched.interfaces && !quiet && !stored.maintenance {
        return Err(Fault::conflict(format!(
            "Node {uuid} can not have its interfaces updated in provision state '{state}' unless it is in maintenance."
        )));
    }
    if stored.resource_class.is_some() && stored.resource_class != patched.resource_class && !quiet {
        return Err(Fault::conflict(format!(
            "Node {uuid} can not have resource_class updated in provision state '{state}'."
        )));
    }
    if let (Some(old), Some(new)) = (stored.instance_uuid, patched.instance_uuid)
        && old != new
    {
        return Err(Fault::conflict(format!("Node {uuid} is associated with instance {old}.")));
    }
    if patched.protected && !stored.protected && state != S::Active {
        return Err(Fault::conflict(format!(
            "Node {uuid} can only be made protected in provision states 'active' or 'rescue', the current state is \
             '{state}'"
        )));
    }
    if patched.protected_reason.is_some() && !patched.protected {
        return Err(Fault::invalid(format!("Node {uuid} is not protected: protected_reason cannot be set.")));
    }
    if patched.retired && !stored.retired && state == S::Available {
        return Err(Fault::conflict(format!(
            "Node {uuid} can not have 'retired' set in provision state 'available', the current state is '{state}'"
        )));
    }
    Ok(())
}
