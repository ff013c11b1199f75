//! The routes of IPA contract §1.2.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, get};

use super::super::fault::method_not_allowed;
use super::{commands, documents, redirect};
use crate::agent::Agent;

pub(in crate::api) fn routes() -> Router<Arc<Agent>> {
    let readable = async || method_not_allowed("GET, HEAD");
    let commandable = async || method_not_allowed("GET, HEAD, POST");
    let mut router = Router::new()
        .route("/", get(documents::root).fallback(readable))
        .route("/v1/", get(documents::v1).fallback(readable))
        .route("/v1", any(redirect::root_without_slash));
    for prefix in ["", "/v1"] {
        router = router
            .route(&format!("{prefix}/status"), get(documents::status).fallback(readable))
            .route(&format!("{prefix}/commands"), any(redirect::commands_without_slash))
            .route(
                &format!("{prefix}/commands/"),
                get(commands::list).post(commands::post).fallback(commandable),
            )
            .route(&format!("{prefix}/commands/{{id}}"), get(commands::show).fallback(readable));
    }
    router
}
