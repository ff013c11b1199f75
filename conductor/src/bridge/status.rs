//! Health and metrics.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::json;

use super::handle::{Phase, Registry};
use super::shared::Shared;

#[derive(Clone)]
pub(super) struct StatusState {
    pub(super) shared: Arc<Shared>,
    pub(super) registry: Arc<Registry>,
}

/// `GET /health`: 200 as long as the process serves, with the number of nodes per phase. `GET /metrics`: Prometheus.
/// Neither says anything secret, and neither asks who reads.
pub(super) fn router(state: StatusState) -> Router {
    Router::new().route("/health", get(health)).route("/metrics", get(metrics)).with_state(state)
}

fn phases(registry: &Registry) -> BTreeMap<Phase, u64> {
    let mut phases: BTreeMap<Phase, u64> = Phase::ALL.into_iter().map(|phase| (phase, 0)).collect();
    for handle in registry.all() {
        *phases.entry(handle.phase()).or_default() += 1;
    }
    phases
}

async fn health(State(state): State<StatusState>) -> impl IntoResponse {
    let nodes: serde_json::Map<_, _> = phases(&state.registry)
        .into_iter()
        .map(|(phase, count)| (phase.name().to_owned(), count.into()))
        .collect();
    let body = json!({"status": "ok", "version": env!("CARGO_PKG_VERSION"), "nodes": nodes});
    (StatusCode::OK, [(header::CONTENT_TYPE, "application/json")], body.to_string())
}

async fn metrics(State(state): State<StatusState>) -> impl IntoResponse {
    let phases = phases(&state.registry);
    let labels: Vec<_> = phases.keys().map(|phase| format!("{{phase=\"{}\"}}", phase.name())).collect();
    let gauges: Vec<_> = phases
        .values()
        .zip(&labels)
        .map(|(count, labels)| ("nodes", labels.as_str(), "Nodes by what the bridge does for them", *count))
        .collect();
    let page = state.shared.metrics.render(&gauges);
    (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], page)
}
