//! Traits of a node (API contract §2.5).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::ApiState;
use super::body::Body;
use super::call::Call;
use super::fault::Fault;
use crate::node::Node;

const MOST_TRAITS: usize = 50;

/// `GET .../traits`
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(37)?;
    let node = state.node(&call, &ident).await?;
    Ok(Json(json!({"traits": node.traits})))
}

/// `PUT .../traits`
pub(super) async fn replace(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
    body: Body,
) -> Result<StatusCode, Fault> {
    let fields = body.object("traits")?;
    let traits: Option<Vec<String>> =
        fields.get("traits").and_then(|list| serde_json::from_value(list.clone()).ok());
    let traits =
        traits.ok_or_else(|| Fault::invalid("Schema error for traits: 'traits' is a list of strings"))?;
    change(&state, &call, &ident, move |node| {
        node.traits = traits;
        Ok(())
    })
    .await
}

/// `DELETE .../traits`
pub(super) async fn clear(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<StatusCode, Fault> {
    change(&state, &call, &ident, |node| {
        node.traits.clear();
        Ok(())
    })
    .await
}

/// `PUT .../traits/{trait}`
pub(super) async fn add(
    State(state): State<ApiState>,
    Path((ident, name)): Path<(String, String)>,
    call: Call,
) -> Result<impl IntoResponse, Fault> {
    let location = format!("{}/v1/nodes/{ident}/traits/{name}", call.base);
    let status = change(&state, &call, &ident, move |node| {
        node.traits.push(name);
        Ok(())
    })
    .await?;
    Ok((status, [(header::LOCATION, location)]))
}

/// `DELETE .../traits/{trait}`
pub(super) async fn remove(
    State(state): State<ApiState>,
    Path((ident, name)): Path<(String, String)>,
    call: Call,
) -> Result<StatusCode, Fault> {
    change(&state, &call, &ident, move |node| {
        let at = node.traits.iter().position(|t| *t == name);
        let missing = || Fault::not_found(format!("Node {} doesn't have a trait '{name}'", node.uuid));
        node.traits.remove(at.ok_or_else(missing)?);
        Ok(())
    })
    .await
}

async fn change(
    state: &ApiState,
    call: &Call,
    ident: &str,
    f: impl FnOnce(&mut Node) -> Result<(), Fault> + Send + 'static,
) -> Result<StatusCode, Fault> {
    call.since(37)?;
    let node = state.node(call, ident).await?;
    state.unlocked(&node).await?;
    let ident = ident.to_owned();
    state
        .write(move |tx| {
            let mut node = tx.node(node.uuid)?.ok_or_else(|| Fault::no_node(&ident))?;
            f(&mut node)?;
            node.traits.sort();
            node.traits.dedup();
            check(&node.traits)?;
            Ok(tx.save_node(&mut node)?)
        })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Standard names begin with the area that they speak of; `CUSTOM_` is for the site's own.
fn check(traits: &[String]) -> Result<(), Fault> {
    const AREAS: [&str; 6] = ["CUSTOM_", "HW_", "COMPUTE_", "MISC_", "STORAGE_", "OWNER_"];
    if traits.len() > MOST_TRAITS {
        return Err(Fault::invalid(format!("A node has at most {MOST_TRAITS} traits.")));
    }
    for name in traits {
        let word = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let area = AREAS.iter().any(|area| name.strip_prefix(area).is_some_and(|rest| !rest.is_empty()));
        if !area || name.len() > 255 || !name.chars().all(word) {
            return Err(Fault::invalid(format!(
                "Invalid traits: '{name}'. A trait is a standard name or begins with CUSTOM_ and holds only A-Z, 0-9 \
                 and _."
            )));
        }
    }
    Ok(())
}
