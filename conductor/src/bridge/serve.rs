//! Listeners of the proxy and of the status page.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Response, StatusCode};
use axum::response::IntoResponse;
use axum::{Extension, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use reqwest::Url;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::pki::{Pki, PkiError, provider};

use super::config::ProxyConfig;
use super::credential;
use super::shared::{BridgeError, PublicProxy};

/// Connections at a time: a conductor keeps one for each node that it works on.
const CONNECTIONS: usize = 4096;
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Also how long an idle connection is kept.
const HEADER_LIMIT: Duration = Duration::from_secs(120);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, BridgeError> {
    TcpListener::bind(address).await.map_err(|source| BridgeError::Listen { address, source })
}

/// How the proxy speaks TLS, if it does, and what Ironic is told of it. Without an authority, where one would be needed,
/// only the configuration is looked at.
pub(super) fn public(
    config: &ProxyConfig,
    pki: Option<&Pki>,
) -> Result<(PublicProxy, Option<Arc<ServerConfig>>), BridgeError> {
    let wrong = || BridgeError::PublicUrl(config.public_url.clone());
    let url = Url::parse(&config.public_url).map_err(|_| wrong())?;
    let host = url.host_str().ok_or_else(wrong)?.trim_start_matches('[').trim_end_matches(']').to_owned();
    let mut public = PublicProxy { url: config.public_url.trim_end_matches('/').to_owned(), verify_ca: None };
    match url.scheme() {
        "http" => return Ok((public, None)),
        "https" => {}
        _ => return Err(wrong()),
    }
    let (chain, key) = if let (Some(certificate), Some(key)) = (&config.certificate, &config.key) {
        let fail = |path: &std::path::Path, error: rustls::pki_types::pem::Error| BridgeError::Tls {
            path: path.to_owned(),
            source: error.into(),
        };
        let (certificate, key) = (credential::find(certificate), credential::find(key));
        let chain = CertificateDer::pem_file_iter(&certificate).and_then(Iterator::collect);
        let key_read = PrivateKeyDer::from_pem_file(&key).map_err(|error| fail(&key, error))?;
        (chain.map_err(|error| fail(&certificate, error))?, key_read)
    } else {
        let Some(pki) = pki else { return Ok((public, None)) };
        public.verify_ca = Some(pki.ca_pem().to_owned());
        let made = pki.issue_server(&host)?;
        let own = |error| BridgeError::Pki(PkiError::Pinned(error));
        let certificate = CertificateDer::from_pem_slice(made.certificate_pem.as_bytes()).map_err(own)?;
        (vec![certificate], PrivateKeyDer::from_pem_slice(made.private_key_pem.as_bytes()).map_err(own)?)
    };
    let tls = ServerConfig::builder_with_provider(Arc::clone(provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| match &config.certificate {
            Some(path) => BridgeError::Tls { path: path.clone(), source: error.into() },
            None => BridgeError::Pki(PkiError::Tls(error)),
        })?;
    Ok((public, Some(Arc::new(tls))))
}

/// Marks an answer that is not to be sent: the connection is closed without a word.
#[derive(Clone, Debug, thiserror::Error)]
#[error("closed without an answer")]
struct HungUp;

/// No answer at all, where the caller takes every answer for the last word.
pub(super) fn hang_up() -> Response<Body> {
    (StatusCode::SERVICE_UNAVAILABLE, Extension(HungUp)).into_response()
}

/// Serves until it is told to end; requests under way are finished then.
pub(super) async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    end: CancellationToken,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = end.cancelled() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::error!("cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(%peer, "too many connections at a time");
            continue;
        };
        let (acceptor, router, end) = (acceptor.clone(), router.clone(), end.clone());
        connections.spawn(async move {
            let _place = place;
            connection(stream, peer, acceptor, router, end).await;
        });
    }
    connections.close();
    connections.wait().await;
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    end: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "small packets may wait");
    }
    let Some(acceptor) = acceptor else { return talk(stream, peer, router, end).await };
    match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => talk(stream, peer, router, end).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS"),
        Err(_) => tracing::debug!(%peer, "no TLS in time"),
    }
}

async fn talk<S>(stream: S, peer: SocketAddr, router: Router, end: CancellationToken)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEADER_LIMIT);
    let service = service_fn(|request: Request<Incoming>| {
        let answer = router.clone().oneshot(request);
        async {
            let answer = answer.await.unwrap_or_else(|never| match never {});
            if answer.extensions().get::<HungUp>().is_some() { Err(HungUp) } else { Ok(answer) }
        }
    });
    let served = builder.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = end.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "connection broke");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_caller_that_is_hung_up_on_gets_no_answer_at_all() {
        let listener = bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router =
            Router::new().route("/gone", get(async || hang_up())).route("/", get(async || StatusCode::OK));
        let server = tokio::spawn(serve(listener, None, router, CancellationToken::new()));
        let error = reqwest::get(format!("http://{address}/gone")).await.unwrap_err();
        assert!(error.is_request() && error.status().is_none(), "{error:?}");
        assert!(reqwest::get(format!("http://{address}/")).await.unwrap().status().is_success());
        server.abort();
    }
}
