//! The missing final slash: 308, so that a POST keeps its body (IPA contract §1.2). IPA repeats the token in the
//! `Location`, where logs and browsers keep it. Here a caller who knows the token is answered in place instead, and
//! the `Location` never holds one.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};

use super::super::{fault, gate, query};
use super::commands;
use crate::agent::Agent;
use crate::tls::Peer;

/// `https://host:port` as the caller wrote it.
pub(super) fn base(peer: Peer, uri: &Uri, headers: &HeaderMap) -> String {
    let scheme = if peer.encrypted { "https" } else { "http" };
    let host = headers
        .get(header::HOST)
        .and_then(|value| value.to_str().ok()?.parse::<Authority>().ok())
        .or_else(|| uri.authority().cloned());
    host.map_or_else(|| format!("{scheme}://localhost"), |host| format!("{scheme}://{host}"))
}

fn add_slash(peer: Peer, uri: &Uri, headers: &HeaderMap) -> Response<Body> {
    let query = query::without(uri.query(), gate::TOKEN).map(|query| format!("?{query}")).unwrap_or_default();
    let target = format!("{}{}/{query}", base(peer, uri, headers), uri.path());
    let shown = escape(&target);
    let html = format!(
        "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n<p>You should be \
         redirected automatically to the target URL: <a href=\"{shown}\">{shown}</a>. If not, click the link.\n"
    );
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    if let Ok(location) = HeaderValue::from_str(&target) {
        headers.insert(header::LOCATION, location);
    }
    response
}

/// `/v1`. Methods that the place behind the slash does not have are a miss, not a redirect.
pub(super) async fn root_without_slash(Extension(peer): Extension<Peer>, request: Request) -> Response<Body> {
    match *request.method() {
        Method::GET | Method::HEAD => add_slash(peer, request.uri(), request.headers()),
        _ => fault::not_found(),
    }
}

/// `/v1/commands` without its slash.
pub(super) async fn commands_without_slash(
    State(agent): State<Arc<Agent>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    let (uri, headers) = (request.uri().clone(), request.headers().clone());
    let knows_token = !peer.certified && gate::permits(&agent, peer, &uri);
    match *request.method() {
        Method::GET | Method::HEAD if knows_token => commands::list(State(agent), Extension(peer), uri).await,
        Method::POST if knows_token => commands::post(State(agent), Extension(peer), request).await,
        Method::GET | Method::HEAD | Method::POST => add_slash(peer, &uri, &headers),
        _ => fault::not_found(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
}
