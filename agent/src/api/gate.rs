//! Who gets in: callers with a certificate everywhere, callers with the token in `/v1` (IPA contract §1.8).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Response, StatusCode, Uri};
use axum::middleware::Next;

use super::fault::{self, Refusal};
use super::query;
use crate::agent::Agent;
use crate::tls::{Peer, Stranger};

pub(super) const TOKEN: &str = "agent_token";

/// Whether a caller may give orders in `/v1`. Only the query parameter counts, as with IPA.
pub(super) fn permits(agent: &Agent, peer: Peer, uri: &Uri) -> bool {
    peer.certified || query::value(uri.query(), TOKEN).is_some_and(|token| agent.access.permits(&token))
}

/// Who shows the token keeps its connection when others come.
pub(super) fn recognise(agent: &Agent, request: &Request) {
    if let Some(stranger) = request.extensions().get::<Arc<Stranger>>()
        && query::value(request.uri().query(), TOKEN).is_some_and(|token| agent.access.permits(&token))
    {
        stranger.trust();
    }
}

/// # Errors
///
/// 401.
pub(super) fn check(agent: &Agent, peer: Peer, uri: &Uri) -> Result<(), Refusal> {
    if permits(agent, peer, uri) { Ok(()) } else { Err(unauthorized().into()) }
}

fn unauthorized() -> Response<Body> {
    fault::framework(StatusCode::UNAUTHORIZED, "Token invalid.")
}

/// `/v2` is for holders of a certificate only.
pub(super) async fn certified_only(
    State(_): State<Arc<Agent>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    if request.extensions().get::<Peer>().is_some_and(|peer| peer.certified) {
        next.run(request).await
    } else {
        unauthorized()
    }
}
