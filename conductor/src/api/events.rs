//! `GET /v1/nodes/{node}/events?after=N&wait=S`: what happens to a node, by long poll. Not part of Ironic's API.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};

use super::ApiState;
use super::call::Call;
use super::fault::Fault;
use crate::flows::NodeEventPage;

/// Longest wait of one request in seconds.
const LONGEST_WAIT_SECONDS: u64 = 60;

pub(super) async fn events(
    State(state): State<ApiState>,
    Path(ident): Path<String>,
    call: Call,
) -> Result<Json<NodeEventPage>, Fault> {
    call.only(&["after", "wait"])?;
    let number = |name: &str| match call.argument(name) {
        None => Ok(0),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| Fault::invalid(format!("{name} must be a non-negative integer: {text}"))),
    };
    let (after, wait) = (number("after")?, number("wait")?.min(LONGEST_WAIT_SECONDS));
    let node = state.node(&call, &ident).await?;
    Ok(Json(Arc::clone(&state.engine).events(node.uuid, after, Duration::from_secs(wait)).await))
}
