//! Errors as clients read them: a JSON document as a string in `error_message` (API contract §1.5).

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::flows::VerbError;
use crate::store::StoreError;

/// A refusal: its status and one clear sentence.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    text: String,
    /// Routing and version errors have an inner document of another form.
    routing: bool,
}

impl Fault {
    fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), routing: false }
    }

    /// 400
    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    /// 403
    pub(super) fn forbidden(text: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, text)
    }

    /// 404
    pub(super) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    /// 406: a field or feature newer than the version of the request.
    pub(super) fn too_new() -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "Request not acceptable.")
    }

    /// 409
    pub(super) fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, text)
    }

    /// 413
    pub(super) fn too_large(text: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, text)
    }

    /// 500; the cause goes to the log alone.
    pub(super) fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error, see the log of the conductor.")
    }

    /// An error of routing or version negotiation.
    pub(super) fn routing(status: StatusCode, text: impl Into<String>) -> Self {
        Self { routing: true, ..Self::new(status, text) }
    }

    /// A node that another action works on.
    pub(super) fn locked(node: &crate::node::Node, host: &str) -> Self {
        let host = node.reservation.as_deref().unwrap_or(host);
        Self::conflict(format!(
            "Node {} is locked by host {host}, please retry after the current operation is completed.",
            node.uuid
        ))
    }

    pub(super) fn no_node(ident: &str) -> Self {
        Self::not_found(format!("Node {ident} could not be found."))
    }

    fn document(&self) -> Value {
        if self.routing {
            let title = self.status.canonical_reason().unwrap_or_default();
            return json!({"code": self.status.as_u16(), "title": title, "description": self.text});
        }
        let code = if self.status.is_server_error() { "Server" } else { "Client" };
        json!({"faultcode": code, "faultstring": self.text, "debuginfo": null})
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = json!({"error_message": self.document().to_string()});
        (self.status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Conflict { what, value } => {
                let mut what = (*what).to_owned();
                if let Some(first) = what.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                Self::conflict(format!("{what} {value} is in use already."))
            }
            StoreError::Missing { what, ident } => {
                Self::not_found(format!("The {what} {ident} could not be found."))
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<VerbError> for Fault {
    fn from(error: VerbError) -> Self {
        match error {
            VerbError::Invalid(text) => Self::invalid(text),
            VerbError::Locked(text) => Self::conflict(text),
            VerbError::Protected(text) => Self::forbidden(text),
            VerbError::Internal(_) => Self::internal(&error),
        }
    }
}
