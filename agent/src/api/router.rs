//! All routes.

use std::sync::Arc;

use axum::{Router, middleware};

use super::{fault, gate, observe, v1, v2};
use crate::agent::Agent;

/// The whole API of an agent. In IPA's place and without an authority for certificates there is nothing but `/v1`.
pub fn router(agent: Arc<Agent>) -> Router {
    let mut router = Router::new().merge(v1::routes());
    if agent.serves_v2() {
        router = router.merge(
            v2::routes().route_layer(middleware::from_fn_with_state(agent.clone(), gate::certified_only)),
        );
    }
    router
        .fallback(async || fault::not_found())
        .layer(middleware::from_fn_with_state(agent.clone(), observe::observe))
        .with_state(agent)
}
