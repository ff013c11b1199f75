//! `POST /v2/lend`: the caller turns this connection round. From here on the agent is the HTTP client on it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tacit_fetch::LentConnection;
use tacit_protocol::v2::UPGRADE_PTTH;

use super::super::fault;
use crate::agent::Agent;
use crate::tls::Accepted;

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
            Ok(connection) => match turn_round(connection) {
                Ok(lent) => agent.lends.add(lent),
                Err(why) => tracing::warn!("a lent connection cannot be used: {why}"),
            },
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

/// Takes the connection from the runtime: fetching blocks, and reads from the socket itself.
fn turn_round(connection: Upgraded) -> Result<LentConnection, String> {
    let parts = connection
        .downcast::<TokioIo<Accepted>>()
        .map_err(|_| "it is none that this agent accepted".to_owned())?;
    parts.io.into_inner().lend(parts.read_buf.into()).map_err(|error| error.to_string())
}
