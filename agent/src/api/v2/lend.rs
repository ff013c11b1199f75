//! `POST /v2/lend`: the caller turns this connection round. From here on the agent is the HTTP client on it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use tacit_protocol::v2::UPGRADE_PTTH;

use super::super::fault;
use crate::agent::Agent;

pub(super) async fn lend(State(agent): State<Arc<Agent>>, mut request: Request<Body>) -> Response<Body> {
    let asked = request
        .headers()
        .get(header::UPGRADE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.eq_ignore_ascii_case(UPGRADE_PTTH));
    if !asked {
        return fault::framework(StatusCode::BAD_REQUEST, "A connection is lent with Upgrade: PTTH/1.0.");
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => agent.lends.add(connection).await,
            Err(error) => tracing::warn!("a connection to be lent broke: {error}"),
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(UPGRADE_PTTH));
    response
}
