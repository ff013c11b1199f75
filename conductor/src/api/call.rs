//! What every handler knows of its request: version, address of this service, query.

use axum::extract::{FromRequestParts, Query};
use axum::http::header::HOST;
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::ApiState;
use super::fault::Fault;
use super::values;
use super::version::{self, Version};

pub(super) struct Call {
    pub(super) version: Version,
    /// `http://host:port`, without a slash at the end.
    pub(super) base: String,
    /// Path below the base, normalised.
    pub(super) path: String,
    query: Vec<(String, String)>,
}

impl FromRequestParts<ApiState> for Call {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, state: &ApiState) -> Result<Self, Fault> {
        let Query(query) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri)
            .map_err(|_| Fault::invalid("The query of the request is not readable."))?;
        let host = parts.headers.get(HOST).and_then(|h| h.to_str().ok()).unwrap_or("127.0.0.1:6385");
        let base = state.public_url.clone().unwrap_or_else(|| format!("http://{host}"));
        let version = parts.extensions.get().copied().unwrap_or(version::MIN);
        Ok(Self { version, base, path: parts.uri.path().to_owned(), query })
    }
}

impl Call {
    /// Value of a query argument, the last one given.
    pub(super) fn argument(&self, name: &str) -> Option<&str> {
        self.query.iter().rev().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A query argument that says yes or no, in any of the usual words.
    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Fault> {
        let Some(text) = self.argument(name) else { return Ok(None) };
        let flag = values::truth(text);
        flag.map(Some).ok_or_else(|| Fault::invalid(format!("Value '{text}' of {name} is not a boolean.")))
    }

    pub(super) fn arguments(&self) -> &[(String, String)] {
        &self.query
    }

    /// Refuses query arguments other than these.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Fault> {
        let unknown: Vec<&str> =
            self.query.iter().map(|(name, _)| name.as_str()).filter(|name| !known.contains(name)).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        Err(Fault::invalid(format!("Unexpected arguments: {}", unknown.join(", "))))
    }

    /// 404 below the version that brought the resource of this path.
    pub(super) fn since(&self, minor: u16) -> Result<(), Fault> {
        if self.version < Version(minor) {
            return Err(Fault::not_found("Not Found"));
        }
        Ok(())
    }

    /// The two links of a resource: with the version in its path and without.
    pub(super) fn links(&self, path: &str) -> Value {
        let base = &self.base;
        json!([
            {"href": format!("{base}/v1/{path}"), "rel": "self"},
            {"href": format!("{base}/{path}"), "rel": "bookmark"},
        ])
    }
}
