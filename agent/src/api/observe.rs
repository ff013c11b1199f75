//! What every answer shares: the `Server` header and a log line without query string.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, header};
use axum::middleware::Next;

use super::gate;
use crate::agent::Agent;
use crate::tls::Peer;

pub(super) async fn observe(
    State(agent): State<Arc<Agent>>,
    request: Request<Body>,
    next: Next,
) -> Response<Body> {
    let begun = Instant::now();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address.to_string()).unwrap_or_default();
    gate::recognise(&agent, &request);
    let mut response = next.run(request).await;
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static("tacit-agent"));
    agent.timeline.answered();
    let milliseconds = begun.elapsed().as_millis();
    tracing::info!("{peer} {method} {path} {} {milliseconds} ms", response.status().as_u16());
    response
}
