//! Request bodies: JSON within limits (API contract §1.1).

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use serde_json::{Map, Value};

use super::ApiState;
use super::fault::Fault;

const LIMIT_BYTES: usize = 1024 * 1024;
/// A config drive may come along.
const PROVISION_LIMIT_BYTES: usize = 64 * 1024 * 1024;
const DEEPEST: usize = 25;

/// A JSON body.
pub(super) struct Body(pub(super) Value);

impl Body {
    /// The body as an object.
    pub(super) fn object(self, what: &str) -> Result<Map<String, Value>, Fault> {
        match self.0 {
            Value::Object(map) => Ok(map),
            _ => Err(Fault::invalid(format!("Schema error for {what}: the body is not of type 'object'"))),
        }
    }
}

impl FromRequest<ApiState> for Body {
    type Rejection = Fault;

    async fn from_request(request: Request, _state: &ApiState) -> Result<Self, Fault> {
        let provision = request.uri().path().ends_with("/states/provision");
        let limit = if provision { PROVISION_LIMIT_BYTES } else { LIMIT_BYTES };
        let bytes = to_bytes(request.into_body(), limit)
            .await
            .map_err(|_| Fault::too_large(format!("The request body is cut off or over {limit} bytes.")))?;
        let value: Value = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::invalid(format!("The request body is not valid JSON: {error}")))?;
        if depth(&value) > DEEPEST {
            return Err(Fault::invalid(format!("The request body is nested deeper than {DEEPEST} levels.")));
        }
        Ok(Self(value))
    }
}

/// Levels of nesting; the parser itself stops at 128.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}
