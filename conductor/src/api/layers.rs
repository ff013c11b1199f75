//! What happens to every request and answer: paths made uniform, versions agreed, request ids given.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::fault::Fault;
use super::version::{self, HEADER, HEADER_MAX, HEADER_MIN, MAX, MIN, Refusal};

/// Drops one slash at the end and adds `/v1` where it was left out.
pub(super) async fn normalise_path(mut request: Request, next: Next) -> Response {
    if let Some(uri) = normalised(request.uri()) {
        *request.uri_mut() = uri;
    }
    next.run(request).await
}

fn normalised(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    let path = path.strip_suffix('/').unwrap_or(path);
    if path.is_empty() {
        return None;
    }
    let versioned = path == "/v1" || path.starts_with("/v1/");
    let prefix = if versioned { "" } else { "/v1" };
    let query = uri.query().map(|q| format!("?{q}")).unwrap_or_default();
    format!("{prefix}{path}{query}").parse().ok()
}

/// Gives each answer its id under both names.
pub(super) async fn request_id(request: Request, next: Next) -> Response {
    let id = format!("req-{}", uuid::Uuid::new_v4());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    tracing::debug!(%method, path, status = response.status().as_u16(), id, "request");
    let id = HeaderValue::from_str(&id).expect("a UUID is ASCII");
    response.headers_mut().insert("x-openstack-request-id", id.clone());
    response.headers_mut().insert("openstack-request-id", id);
    response
}

/// Finds the version of a request, says in the answer which are served.
pub(super) async fn negotiate(mut request: Request, next: Next) -> Response {
    let is_root = request.uri().path() == "/";
    let mut in_force = None;
    let mut response = match version::requested(request.headers()) {
        Ok(version) => {
            in_force = Some(version);
            request.extensions_mut().insert(version);
            next.run(request).await
        }
        Err(_) if is_root => next.run(request).await,
        Err(Refusal::Unreadable(wanted)) => {
            let text = format!("Invalid value for {HEADER}: '{wanted}'.");
            return Fault::routing(StatusCode::NOT_ACCEPTABLE, text).into_response();
        }
        Err(Refusal::Unsupported(wanted)) => {
            let text = format!(
                "Version {wanted} was requested but is not supported by this service. \
                 The supported version range is: [{MIN}, {MAX}]."
            );
            Fault::routing(StatusCode::NOT_ACCEPTABLE, text).into_response()
        }
    };
    let mut say = |name: &'static str, version: version::Version| {
        let value = HeaderValue::from_str(&version.to_string()).expect("digits and a dot");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    };
    say(HEADER_MIN, MIN);
    say(HEADER_MAX, MAX);
    if let Some(version) = in_force {
        say(HEADER, version);
    }
    response
}

pub(super) async fn unknown_path() -> Fault {
    Fault::routing(StatusCode::NOT_FOUND, "")
}

pub(super) async fn wrong_method() -> Fault {
    Fault::routing(StatusCode::METHOD_NOT_ALLOWED, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_uniform() {
        let of = |text: &str| normalised(&text.parse().unwrap()).map(|uri| uri.to_string());
        assert_eq!(of("/"), None);
        assert_eq!(of("/v1/").as_deref(), Some("/v1"));
        assert_eq!(of("/nodes").as_deref(), Some("/v1/nodes"));
        assert_eq!(of("/v1/nodes/?limit=1").as_deref(), Some("/v1/nodes?limit=1"));
        assert_eq!(of("/v1nodes").as_deref(), Some("/v1/v1nodes"));
    }
}
