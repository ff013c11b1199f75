//! The listener that BMCs fetch media from.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use uuid::Uuid;

use super::ranges::{Body, Content, RangeRead, empty};
use super::watch::{MediaAccess, Watched};

const MEDIA_TYPE: &str = "application/octet-stream";
/// A BMC keeps its connection for the whole boot and may be silent for minutes while firmware starts.
const IDLE_LIMIT: Duration = Duration::from_secs(600);
/// Connections served at once; further ones wait.
const CONNECTIONS: usize = 4096;

/// Why media cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("media cannot be served at {address}")]
pub struct MediaError {
    address: SocketAddr,
    #[source]
    source: std::io::Error,
}

/// Serves the registered media until it is dropped.
pub struct MediaServer {
    address: SocketAddr,
    base_url: String,
    media: Arc<Media>,
    listener: AbortHandle,
}

#[derive(Default)]
struct Media {
    by_token: RwLock<HashMap<String, Arc<Watched>>>,
}

/// A new unguessable name for a medium: 122 random bits.
pub fn new_token() -> String {
    Uuid::new_v4().simple().to_string()
}

impl MediaServer {
    /// Listens at `address`. BMCs are sent to `base_url` (`http://192.0.2.1:8088`), or to `address` itself where
    /// that is `None`.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn bind(address: SocketAddr, base_url: Option<String>) -> Result<Self, MediaError> {
        let error = |source| MediaError { address, source };
        let listener = TcpListener::bind(address).await.map_err(error)?;
        let address = listener.local_addr().map_err(error)?;
        let base_url = base_url.unwrap_or_else(|| format!("http://{address}"));
        let media = Arc::new(Media::default());
        let task = tokio::spawn(accept(listener, Arc::clone(&media)));
        let base_url = base_url.trim_end_matches('/').to_owned();
        Ok(Self { address, base_url, media, listener: task.abort_handle() })
    }

    /// Where it listens.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The URL of a medium: a plain path that ends in `.iso`, as picky BMCs want it.
    pub fn url(&self, token: &str) -> String {
        format!("{}/media/{token}.iso", self.base_url)
    }

    /// Serves `medium` under `token` from now on; in place of the one that had this token, if any.
    pub fn register(&self, token: &str, medium: impl RangeRead + 'static) {
        let watched = Arc::new(Watched::new(Box::new(medium)));
        self.media.by_token.write().unwrap_or_else(PoisonError::into_inner).insert(token.to_owned(), watched);
    }

    /// Serves it no longer; answers under way are finished. False when there was none.
    pub fn unregister(&self, token: &str) -> bool {
        self.media.by_token.write().unwrap_or_else(PoisonError::into_inner).remove(token).is_some()
    }

    /// How the medium was used so far; `None` when it is not registered.
    pub fn access(&self, token: &str) -> Option<MediaAccess> {
        self.media.find(token).map(|medium| medium.subscribe().borrow().clone())
    }

    /// Waits until the first byte of the medium's content was fetched; `None` when it is not registered.
    pub async fn wait_fetched(&self, token: &str) -> Option<MediaAccess> {
        // The medium itself is let go at once, so that an unregistered one ends the wait.
        let mut access = self.media.find(token)?.subscribe();
        let fetched = access.wait_for(|access| access.first_at.is_some()).await;
        fetched.ok().map(|access| access.clone())
    }
}

impl Drop for MediaServer {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl Media {
    fn find(&self, token: &str) -> Option<Arc<Watched>> {
        self.by_token.read().unwrap_or_else(PoisonError::into_inner).get(token).map(Arc::clone)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let token = request.uri().path().strip_prefix("/media/").and_then(|name| name.strip_suffix(".iso"));
        let Some(medium) = token.and_then(|token| self.find(token)) else {
            return refuse(StatusCode::NOT_FOUND);
        };
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        medium.note_request();
        Content { source: medium, etag: None, media_type: MEDIA_TYPE }
            .answer(request.method(), request.headers())
    }
}

fn refuse(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

async fn accept(listener: TcpListener, media: Arc<Media>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let slot = Arc::clone(&slots).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, peer)) => {
                let media = Arc::clone(&media);
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, media).await {
                        tracing::debug!(%peer, %error, "media connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: those in use are given back as boots end.
                tracing::warn!(%error, "media connection not accepted");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, media: Arc<Media>) -> hyper::Result<()> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "media connection stays without TCP_NODELAY");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        let response = media.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_LIMIT)
        .serve_connection(TokioIo::new(stream), service)
        .await
}
