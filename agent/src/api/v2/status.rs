//! Who answers, and the clock.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use tacit_protocol::v2::{Clock, Status, Trust};

use super::super::json::respond;
use super::super::{body, fault};
use crate::agent::Agent;
use crate::clock::ClockError;
use crate::jobs::CommandError;
use crate::process;

pub(super) async fn status(State(agent): State<Arc<Agent>>) -> Response<Body> {
    // This very answer counts as the first.
    agent.timeline.answered();
    let (rss_bytes, rss_peak_bytes) = process::resident_bytes();
    let status = Status {
        version: env!("CARGO_PKG_VERSION").into(),
        boot_id: agent.boot_id.clone(),
        started_at: agent.timeline.started_at,
        first_answer_uptime: agent.timeline.first_answer(),
        agent_startup_seconds: agent.timeline.startup_seconds,
        rss_bytes,
        rss_peak_bytes,
        node_uuid: agent.node_uuid(),
        trust: if agent.ipa().is_some() { Trust::FirstContact } else { Trust::Media },
        identity: agent.identity(),
        preparing: agent.is_preparing(),
        running: agent.jobs.running().map(|(id, _)| id),
        last_event: agent.events.last(),
    };
    respond(StatusCode::OK, &status)
}

pub(super) async fn clock(State(agent): State<Arc<Agent>>, request: Request<Body>) -> Response<Body> {
    let wish: Clock = match body::read(request).await.and_then(|bytes| body::parse_as(&bytes)) {
        Ok(wish) => wish,
        Err(refusal) => return *refusal,
    };
    match agent.clock.set(wish.unix_time) {
        Ok(unix_time) => respond(StatusCode::OK, &Clock { unix_time }),
        Err(error @ ClockError::Absurd(_)) => fault::framework(StatusCode::BAD_REQUEST, &error.to_string()),
        Err(error) => fault::fault(StatusCode::INTERNAL_SERVER_ERROR, CommandError::chain(&error)),
    }
}
