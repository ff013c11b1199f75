//! Events by cursor and long poll.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{Response, StatusCode};
use serde::Deserialize;

use super::super::json::respond;
use crate::agent::Agent;

/// Longest wait in seconds.
const LONGEST_WAIT: f64 = 60.0;

#[derive(Debug, Deserialize)]
pub(super) struct Cursor {
    #[serde(default)]
    after: u64,
    /// Seconds.
    #[serde(default)]
    wait: f64,
}

pub(super) async fn events(State(agent): State<Arc<Agent>>, Query(cursor): Query<Cursor>) -> Response<Body> {
    let wait = if cursor.wait.is_finite() { cursor.wait.clamp(0.0, LONGEST_WAIT) } else { 0.0 };
    let page = agent.events.wait_page(cursor.after, Duration::from_secs_f64(wait)).await;
    respond(StatusCode::OK, &page)
}
