//! A node's history (API contract §2.5, §5.3).

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::ApiState;
use super::call::Call;
use super::collection::{Fields, Order, PAGING, Page, Selection};
use super::fault::Fault;
use crate::store::HistoryEntry;

const FIELDS: &Fields = &[
    ("uuid", 78),
    ("created_at", 78),
    ("severity", 78),
    ("event_type", 78),
    ("event", 78),
    ("conductor", 78),
    ("user", 78),
    ("project", 113),
    ("state", 115),
    ("target_provision_state", 115),
    ("duration_seconds", 115),
];

const LISTED: [&str; 4] = ["uuid", "created_at", "severity", "event"];

/// In the short list events are cut.
const SHORT_EVENT_CHARS: usize = 255;

/// `GET .../history`
pub(super) async fn list(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(78)?;
    let known: Vec<&str> = PAGING.into_iter().chain(["detail"]).collect();
    call.only(&known)?;
    let selection = Selection::of(&call, FIELDS, Some(&LISTED))?;
    let node = state.node(&call, &ident).await?.uuid;
    let entries = state.read(move |tx| tx.history(node)).await?;
    let field = |entry: &HistoryEntry, name: &str| all(entry).remove(name).unwrap_or_default();
    let order =
        Order { what: "History", id: &|entry: &HistoryEntry| entry.uuid, field: &field, known: FIELDS };
    let page = Page::of(&call, entries, &order, &selection)?;
    Ok(Json(page.answer("history", |entry| render(&entry, node, &call, &selection))))
}

/// `GET .../history/{entry}`
pub(super) async fn show(
    State(state): State<ApiState>,
    Path((ident, entry)): Path<(String, String)>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(78)?;
    let node = state.node(&call, &ident).await?.uuid;
    let wanted = Uuid::try_parse(&entry)
        .map_err(|_| Fault::invalid(format!("Expected a UUID but received {entry}.")))?;
    let found = state.read(move |tx| tx.history_entry(node, wanted)).await?;
    let found =
        found.ok_or_else(|| Fault::not_found(format!("Node history record {entry} could not be found.")))?;
    Ok(Json(render(&found, node, &call, &Selection::All)))
}

fn all(entry: &HistoryEntry) -> Map<String, Value> {
    match serde_json::to_value(entry) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn render(entry: &HistoryEntry, node: Uuid, call: &Call, selection: &Selection) -> Value {
    let mut full = all(entry);
    if *selection != Selection::All {
        full.insert("event".into(), entry.event.chars().take(SHORT_EVENT_CHARS).collect::<String>().into());
    }
    let href = format!("{}/v1/nodes/{node}/history/{}", call.base, entry.uuid);
    full.insert("links".into(), json!([{"href": href, "rel": "self"}]));
    Value::Object(selection.apply(full, FIELDS, call.version))
}
