//! Requests and their answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::super::config::IronicConfig;
use super::auth::Auth;
use crate::pki::provider;

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// As long as IPA waits (`http_request_timeout`).
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Largest answer read, in bytes: a page of a thousand nodes is half a megabyte.
const ANSWER_SIZE: usize = 8 * 1024 * 1024;
/// Most of an explanation that is kept, in characters.
const FAULT_LENGTH: usize = 400;

const VERSION_HEADER: &str = "X-OpenStack-Ironic-API-Version";

/// Why Ironic did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum IronicError {
    /// Nobody answers, or not in time.
    #[error("Ironic does not answer")]
    Unreachable(#[source] reqwest::Error),
    #[error("Ironic answers {status}: {fault}")]
    Refused { status: u16, fault: String },
    #[error("Ironic's answer cannot be used: {0}")]
    Malformed(String),
    #[error("{path}: cannot be used")]
    File {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("no HTTP client for Ironic can be made: {0}")]
    Client(String),
}

impl IronicError {
    pub(in crate::bridge) fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// A word for metrics.
    pub(in crate::bridge) fn kind(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Refused { status, .. } => match status {
                400 => "bad_request",
                401 | 403 => "forbidden",
                404 => "not_found",
                409 => "locked",
                500.. => "server_error",
                _ => "refused",
            },
            Self::Malformed(_) => "malformed",
            Self::File { .. } | Self::Client(_) => "local",
        }
    }
}

/// One Ironic.
pub(in crate::bridge) struct Ironic {
    pub(super) http: reqwest::Client,
    base: Url,
    auth: Auth,
}

impl Ironic {
    pub(in crate::bridge) fn new(config: &IronicConfig) -> Result<Self, IronicError> {
        let base = config.url.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let base = Url::parse(&format!("{base}/"))
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"))
            .ok_or_else(|| IronicError::Client(format!("{} is no http or https URL", config.url)))?;
        Ok(Self { http: http_client(config)?, base, auth: Auth::new(&config.auth)? })
    }

    /// One request of a ramdisk that succeeds; its answer as JSON, `null` when it has no body. A ramdisk has no password,
    /// so nothing is shown: a heartbeat must not wait for Keystone.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        version: &str,
        body: Option<&Value>,
    ) -> Result<Value, IronicError> {
        let mut request = self.request(method, path, query, version)?;
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    /// One request that needs to know who asks.
    pub(super) async fn get_signed(
        &self,
        path: &str,
        query: &[(&str, &str)],
        version: &str,
    ) -> Result<Value, IronicError> {
        let mut refused = None;
        loop {
            let request = self.request(Method::GET, path, query, version)?;
            let (request, token) = self.auth.sign(&self.http, request, refused.as_deref()).await?;
            let answer = answer(request).await;
            let unknown = answer.as_ref().err().and_then(IronicError::status) == Some(401);
            if !unknown || token.is_none() || refused.is_some() {
                return answer;
            }
            refused = token;
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        version: &str,
    ) -> Result<RequestBuilder, IronicError> {
        let mut url = self.base.join(path).map_err(|error| IronicError::Client(error.to_string()))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(self.http.request(method, url).header(VERSION_HEADER, version))
    }
}

async fn answer(request: RequestBuilder) -> Result<Value, IronicError> {
    let response = request.send().await.map_err(unreachable)?;
    let (status, bytes) = read(response).await?;
    // Nor is a redirection an answer: nothing leads the bridge elsewhere with its secrets.
    if !status.is_success() {
        return Err(IronicError::Refused { status: status.as_u16(), fault: fault(&bytes) });
    }
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|error| IronicError::Malformed(error.to_string()))
}

/// URLs hold tokens of nobody here, but addresses of operators: errors go without.
pub(super) fn unreachable(error: reqwest::Error) -> IronicError {
    IronicError::Unreachable(error.without_url())
}

pub(super) async fn read(mut response: reqwest::Response) -> Result<(StatusCode, Vec<u8>), IronicError> {
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > ANSWER_SIZE {
            return Err(IronicError::Malformed(format!("it is longer than {ANSWER_SIZE} bytes")));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok((status, bytes))
}

fn http_client(config: &IronicConfig) -> Result<reqwest::Client, IronicError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &config.ca_file {
        let file = |source| IronicError::File { path: path.clone(), source };
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| file(error.into()))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| file(error.into()))?;
            roots.add(certificate).map_err(|error| file(error.into()))?;
        }
        if roots.is_empty() {
            return Err(file("it holds no certificate".into()));
        }
    } else {
        let native = rustls_native_certs::load_native_certs();
        for error in &native.errors {
            tracing::warn!(%error, "certificates of the system not read");
        }
        roots.add_parsable_certificates(native.certs);
    }
    let tls = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| IronicError::Client(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .http1_only()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_LIMIT)
        .timeout(ANSWER_LIMIT)
        .user_agent(concat!("tacit-bridge/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| IronicError::Client(error.to_string()))
}

/// Ironic's explanation: `{"error_message": "{\"faultstring\": …}"}`, an object within, or whatever else came.
fn fault(body: &[u8]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(answer) => {
            let inner = answer.get("error_message").unwrap_or(&answer);
            let parsed = inner.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
            let inner = parsed.as_ref().unwrap_or(inner);
            match inner.get("faultstring").or_else(|| inner.get("message")).unwrap_or(inner) {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }
        }
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(4 * FAULT_LENGTH)]).into_owned(),
    };
    text.chars().filter(|c| !c.is_control()).take(FAULT_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn explanations_in_each_of_their_wrappings() {
        let recorded = br#"{"error_message": "{\"faultcode\": \"Client\", \"faultstring\": \"Resource could not be found.\", \"debuginfo\": null}"}"#;
        assert_eq!(fault(recorded), "Resource could not be found.");
        assert_eq!(fault(br#"{"error_message": {"faultstring": "no"}}"#), "no");
        assert_eq!(fault(br#"{"error": {"code": 401}}"#), r#"{"error":{"code":401}}"#);
        assert_eq!(fault(b"<html>bad gateway</html>\n"), "<html>bad gateway</html>");
        assert_eq!(fault(&[b'x'; 100_000]).len(), FAULT_LENGTH);
    }
}
