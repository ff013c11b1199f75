//! Error bodies: `{"faultcode": …, "faultstring": …}` (IPA contract §1.6).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use tacit_protocol::v1::Fault;

use super::json;
use crate::jobs::{Busy, CommandError};

/// An answer in place of the one that was hoped for.
pub(super) type Refusal = Box<Response<Body>>;

/// An error answer with this text.
pub(super) fn fault(status: StatusCode, text: impl Into<String>) -> Response<Body> {
    let faultcode = if status.is_server_error() { "Server" } else { "Client" };
    json::respond(status, &Fault { faultcode: faultcode.into(), faultstring: text.into() })
}

/// The framework's kind: `400 Bad Request: <description>`.
pub(super) fn framework(status: StatusCode, description: &str) -> Response<Body> {
    let name = status.canonical_reason().unwrap_or("Error");
    fault(status, format!("{} {name}: {description}", status.as_u16()))
}

pub(super) fn not_found() -> Response<Body> {
    framework(
        StatusCode::NOT_FOUND,
        "The requested URL was not found on the server. If you entered the URL manually please check your spelling \
         and try again.",
    )
}

pub(super) fn method_not_allowed(allow: &'static str) -> Response<Body> {
    let mut response =
        framework(StatusCode::METHOD_NOT_ALLOWED, "The method is not allowed for the requested URL.");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allow));
    response
}

pub(super) fn too_large(limit: usize) -> Response<Body> {
    let text = format!("The data value transmitted exceeds the capacity limit of {limit} bytes.");
    framework(StatusCode::PAYLOAD_TOO_LARGE, &text)
}

pub(super) fn busy(busy: &Busy) -> Response<Body> {
    fault(StatusCode::CONFLICT, format!("Agent is busy: {busy}"))
}

/// The agent's own kind: `<message>: <details>`, with the class's number as status.
pub(super) fn command(error: &CommandError) -> Response<Body> {
    let status = StatusCode::from_u16(error.error.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    fault(status, error.error.to_string())
}
