//! The URLs that one deployment needs, and nothing else.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use reqwest::Url;

use crate::media::{Body, Content, full};

use super::error::{ImageError, shown};
use super::{file, relay};

/// Where the bytes behind a URL come from.
#[derive(Clone, PartialEq, Eq)]
pub enum Origin {
    /// Relayed from an image server.
    Http {
        url: String,
        /// Value of the `Authorization` header for the host of `url`, not for those it redirects to.
        authorization: Option<String>,
    },
    /// A file of the conductor's machine.
    File(PathBuf),
    /// Bytes that the conductor has made, such as a config drive.
    Bytes(Bytes),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { url, authorization } => {
                let with = if authorization.is_some() { " with authorization" } else { "" };
                write!(f, "Http({}{with})", shown(url))
            }
            Self::File(path) => write!(f, "File({})", path.display()),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
        }
    }
}

/// What an agent may fetch over a lent connection.
#[derive(Clone, Debug, Default)]
pub struct Allowance {
    origins: HashMap<String, Origin>,
}

impl Allowance {
    /// Allows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows `url`, as the agent is told it, to be fetched from `origin`.
    pub fn allow(&mut self, url: &str, origin: Origin) -> &mut Self {
        self.origins.insert(canonical(url), origin);
        self
    }

    /// The origin of an allowed URL.
    pub fn origin(&self, url: &str) -> Option<&Origin> {
        self.origins.get(&canonical(url))
    }

    /// Answers a request that came over a lent connection: `GET` or `HEAD` with an allowed absolute URL, everything
    /// else is refused with 403. An origin that cannot be reached is answered with 502 or 503 and `Retry-After`; one
    /// that breaks off makes the body fail, never end.
    pub async fn serve<B>(&self, request: Request<B>) -> Response<Body> {
        let read = *request.method() == Method::GET || *request.method() == Method::HEAD;
        let absolute = request.uri().scheme().is_some();
        let asked = request.uri().to_string();
        let origin = if read && absolute { self.origin(&asked) } else { None };
        let Some(origin) = origin else {
            tracing::warn!(method = %request.method(), url = shown(&asked), "agent asks for what it was not allowed");
            return refuse(StatusCode::FORBIDDEN, "this deployment does not need that URL");
        };
        let (method, headers) = (request.method(), request.headers());
        let answer = match origin {
            Origin::Http { url, authorization } => {
                relay::relay(url, authorization.as_deref(), method, headers).await
            }
            Origin::File(path) => file::open(path).await.map(|content| content.answer(method, headers)),
            Origin::Bytes(bytes) => {
                let source = Arc::new(bytes.clone());
                let content = Content { source, etag: None, media_type: "application/octet-stream" };
                Ok(content.answer(method, headers))
            }
        };
        answer.unwrap_or_else(|error| explain(&error))
    }
}

/// Both ends may spell a URL in their own way (default port, empty path, case of the host).
fn canonical(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) => {
            parsed.set_fragment(None);
            parsed.into()
        }
        Err(_) => url.to_owned(),
    }
}

fn explain(error: &ImageError) -> Response<Body> {
    tracing::warn!(error = error as &dyn std::error::Error, "an agent cannot be given an image");
    let status = match error {
        ImageError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            StatusCode::NOT_FOUND
        }
        ImageError::File { .. } | ImageError::Client(_) | ImageError::Url(_) => {
            StatusCode::INTERNAL_SERVER_ERROR
        }
        ImageError::Status { status: 429 | 503, .. } => StatusCode::SERVICE_UNAVAILABLE,
        ImageError::Status { status, .. } if *status < 500 && !error.is_transient() => {
            StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY)
        }
        ImageError::Status { .. } | ImageError::Unreachable { .. } => StatusCode::BAD_GATEWAY,
    };
    let mut response = refuse(status, &error.to_string());
    if error.is_transient() {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    }
    response
}

fn refuse(status: StatusCode, why: &str) -> Response<Body> {
    let mut response = Response::new(full(format!("{why}\n")));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_compared_by_meaning() {
        let mut allowance = Allowance::new();
        allowance.allow("HTTP://Images.example:80/a%20b?x=1#part", Origin::Bytes(Bytes::new()));
        assert!(allowance.origin("http://images.example/a%20b?x=1").is_some());
        for other in [
            "http://images.example/a%20b",
            "http://images.example/A%20b?x=1",
            "https://images.example/a%20b?x=1",
        ] {
            assert!(allowance.origin(other).is_none(), "{other}");
        }
    }

    #[test]
    fn debug_keeps_secrets() {
        let origin = Origin::Http {
            url: "http://u:pw@h/i?sig=s".to_owned(),
            authorization: Some("Basic abc".to_owned()),
        };
        assert_eq!(format!("{origin:?}"), "Http(http://h/i with authorization)");
    }
}
