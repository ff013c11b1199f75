//! The accept loop.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

/// Address of the caller, in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A connection of a caller who showed a certificate.
pub(crate) type Accepted = tokio_rustls::server::TlsStream<TcpStream>;

/// Handshakes at a time. Beyond that the oldest gives way to the newest: a caller with a certificate needs
/// milliseconds, and those without one cannot keep it out by opening connections and staying silent.
const HANDSHAKES: usize = 64;
/// Connections at a time; lent ones do not count any more.
const CONNECTIONS: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the process ends.
pub async fn serve(listener: TcpListener, tls: Arc<ServerConfig>, router: Router) {
    let acceptor = TlsAcceptor::from(tls);
    let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors or memory: others will end, then this goes on.
                tracing::error!("cannot accept: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        handshakes.retain(|handshake| !handshake.is_finished());
        if handshakes.len() >= HANDSHAKES
            && let Some(oldest) = handshakes.pop_front()
        {
            tracing::debug!("too many handshakes at a time: the oldest gives way to {peer}");
            oldest.abort();
        }
        let (acceptor, router, connections) = (acceptor.clone(), router.clone(), connections.clone());
        let handshake = tokio::spawn(async move { shake_hands(&acceptor, stream, peer).await });
        handshakes.push_back(handshake.abort_handle());
        tokio::spawn(async move {
            // An error is that it had to give way.
            let Ok(Some(stream)) = handshake.await else { return };
            let Ok(_place) = connections.try_acquire_owned() else {
                tracing::warn!("{peer}: too many connections at a time");
                return;
            };
            let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
                request.extensions_mut().insert(Peer(peer));
                request
            });
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                .with_upgrades()
                .await;
            if let Err(error) = served {
                tracing::debug!("{peer}: {error}");
            }
        });
    }
}

async fn shake_hands(acceptor: &TlsAcceptor, stream: TcpStream, peer: SocketAddr) -> Option<Accepted> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("{peer}: {error}");
    }
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::warn!("{peer}: refused: {error}");
            None
        }
        Err(_) => {
            tracing::warn!("{peer}: no handshake in time");
            None
        }
    }
}
