//! All routes.

use std::sync::Arc;

use axum::{Router, middleware};

use super::{fault, observe, v1, v2};
use crate::agent::Agent;

/// The whole API of an agent.
pub fn router(agent: Arc<Agent>) -> Router {
    Router::new()
        .merge(v1::routes())
        .merge(v2::routes())
        .fallback(async || fault::not_found())
        .layer(middleware::from_fn_with_state(agent.clone(), observe::observe))
        .with_state(agent)
}
