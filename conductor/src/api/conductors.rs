//! Conductors (there is one) and shards (API contract §2.7).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::ApiState;
use super::call::Call;
use super::fault::Fault;
use crate::hardware_types::HARDWARE_TYPES;
use crate::store::now_iso;

/// `GET /v1/conductors`
pub(super) async fn list(State(state): State<ApiState>, call: Call) -> Result<Json<Value>, Fault> {
    call.since(49)?;
    call.only(&["limit", "marker", "sort_key", "sort_dir", "fields", "detail"])?;
    let detail = call.flag("detail")?.unwrap_or(false);
    Ok(Json(json!({"conductors": [render(state.store.conductor(), &call, detail)]})))
}

/// `GET /v1/conductors/{host}`
pub(super) async fn show(
    State(state): State<ApiState>,
    Path(host): Path<String>,
    call: Call,
) -> Result<Json<Value>, Fault> {
    call.since(49)?;
    if host != state.store.conductor() {
        return Err(Fault::not_found(format!("Conductor {host} could not be found.")));
    }
    Ok(Json(render(&host, &call, true)))
}

fn render(host: &str, call: &Call, detail: bool) -> Value {
    let mut conductor = Map::new();
    if detail {
        // It is here that it answers: alive now, and it has no other record of itself.
        conductor.insert("created_at".into(), Value::Null);
        conductor.insert("updated_at".into(), now_iso().into());
    }
    conductor.insert("hostname".into(), host.into());
    conductor.insert("conductor_group".into(), "".into());
    if detail {
        conductor.insert("drivers".into(), HARDWARE_TYPES.iter().map(|hardware| hardware.name).collect());
    }
    conductor.insert("links".into(), call.links(&format!("conductors/{host}")));
    conductor.insert("alive".into(), true.into());
    Value::Object(conductor)
}

/// `GET /v1/shards`
pub(super) async fn shards(State(state): State<ApiState>, call: Call) -> Result<Json<Value>, Fault> {
    call.since(82)?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for node in state.read(|tx| tx.nodes()).await? {
        *counts.entry(node.shard.unwrap_or_else(|| "None".to_owned())).or_default() += 1;
    }
    let shards: Vec<Value> =
        counts.iter().map(|(name, count)| json!({"name": name, "count": count})).collect();
    Ok(Json(json!({"shards": shards})))
}
