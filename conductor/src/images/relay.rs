//! Image servers: bytes pass through as they arrive.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::TryStreamExt;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response};
use reqwest::redirect::{Attempt, Policy};
use rustls::{ClientConfig, RootCertStore};

use crate::media::{Body, BoxError, empty};
use crate::pki::provider;

use super::error::{ImageError, shown};

const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A server that sends nothing for this long is given up; the agent goes on at the last byte over a new request.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 5;

const ASKED: [HeaderName; 2] = [header::RANGE, header::IF_RANGE];
const ANSWERED: [HeaderName; 6] = [
    header::ACCEPT_RANGES,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// Asks the origin and passes its answer on.
pub(super) async fn relay(
    url: &str,
    authorization: Option<&str>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Response<Body>, ImageError> {
    let mut asked = HeaderMap::new();
    for name in ASKED {
        if let Some(value) = headers.get(&name) {
            asked.insert(name, value.clone());
        }
    }
    let upstream = ask(url, authorization, method.clone(), asked).await?;
    let status = upstream.status();
    if !status.is_success() && status != hyper::StatusCode::RANGE_NOT_SATISFIABLE {
        return Err(ImageError::Status { url: shown(url), status: status.as_u16() });
    }
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    for name in ANSWERED {
        if let Some(value) = upstream.headers().get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    if *method == Method::GET {
        let url = shown(url);
        let broken = move |error: reqwest::Error| -> BoxError {
            tracing::warn!(url, error = %root_cause(&error), "image server broke off");
            Box::new(error.without_url())
        };
        let frames = upstream.bytes_stream().map_ok(Frame::data).map_err(broken);
        *response.body_mut() = StreamBody::new(frames).boxed_unsync();
    }
    Ok(response)
}

/// One request to an image server, whatever its status; redirects are followed here.
pub(super) async fn ask(
    url: &str,
    authorization: Option<&str>,
    method: Method,
    mut headers: HeaderMap,
) -> Result<reqwest::Response, ImageError> {
    let target = reqwest::Url::parse(url).map_err(|_| ImageError::Url(shown(url)))?;
    if !matches!(target.scheme(), "http" | "https") {
        return Err(ImageError::Url(shown(url)));
    }
    // Digests are over the bytes as they are stored: no transport encoding may change them.
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(value) = authorization {
        let mut value = HeaderValue::from_str(value).map_err(|error| ImageError::Client(error.into()))?;
        value.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, value);
    }
    let request = client()?.request(method, target).headers(headers);
    let unreachable =
        |error: reqwest::Error| ImageError::Unreachable { url: shown(url), source: error.without_url() };
    request.send().await.map_err(unreachable)
}

/// One client, and so one pool of connections, for all deployments.
fn client() -> Result<&'static reqwest::Client, ImageError> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client);
    }
    let client = new_client().map_err(ImageError::Client)?;
    Ok(CLIENT.get_or_init(|| client))
}

fn new_client() -> Result<reqwest::Client, BoxError> {
    let mut roots = RootCertStore::empty();
    // SSL_CERT_FILE and SSL_CERT_DIR add a site's own authorities. No roots at all is fine where nothing is https.
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "certificates of the system not read");
    }
    roots.add_parsable_certificates(native.certs);
    let tls = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = reqwest::Client::builder()
        .use_preconfigured_tls(tls)
        .http1_only()
        .no_proxy()
        .referer(false)
        .redirect(Policy::custom(redirect))
        .connect_timeout(CONNECT_LIMIT)
        .read_timeout(SILENCE_LIMIT)
        .tcp_keepalive(SILENCE_LIMIT)
        .user_agent(concat!("tacit/", env!("CARGO_PKG_VERSION")))
        .build()?;
    Ok(client)
}

/// The client itself takes credentials out of a request that is sent on to another host or port.
fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let secure = |url: Option<&reqwest::Url>| url.is_some_and(|url| url.scheme() == "https");
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    if secure(attempt.previous().last()) && !secure(Some(attempt.url())) {
        return attempt.error("redirected from https to plain http");
    }
    attempt.follow()
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
