//! `/v2`: operations, events, clock, lent connections (see [`tacit_protocol::v2`]).

mod events;
mod ipa;
mod lend;
mod operations;
mod status;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post, put};

use super::fault::method_not_allowed;
use crate::agent::Agent;

pub(super) fn routes() -> Router<Arc<Agent>> {
    Router::new()
        .route("/v2/status", get(status::status).fallback(async || method_not_allowed("GET, HEAD")))
        .route("/v2/clock", put(status::clock).fallback(async || method_not_allowed("PUT")))
        .route("/v2/operations", get(operations::list).fallback(async || method_not_allowed("GET, HEAD")))
        .route(
            "/v2/operations/{id}",
            put(operations::put)
                .get(operations::show)
                .delete(operations::cancel)
                .fallback(async || method_not_allowed("GET, HEAD, PUT, DELETE")),
        )
        .route("/v2/events", get(events::events).fallback(async || method_not_allowed("GET, HEAD")))
        .route(
            "/v2/ipa",
            get(ipa::show).put(ipa::give).fallback(async || method_not_allowed("GET, HEAD, PUT")),
        )
        .route("/v2/lend", post(lend::lend).fallback(async || method_not_allowed("POST")))
}
