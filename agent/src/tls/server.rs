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
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::Accepted;
use super::places::{Place, Places};
use crate::access::Closed;

/// Who calls, in the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    pub address: SocketAddr,
    /// Has shown a certificate of the authority that this agent obeys.
    pub certified: bool,
    pub encrypted: bool,
}

/// What callers have to speak.
#[derive(Clone)]
pub enum Security {
    /// As IPA without certificate: for tests and for networks that are nobody else's.
    Plain,
    Tls(Arc<ServerConfig>),
}

/// Handshakes at a time. Beyond that the oldest gives way to the newest: a caller with a certificate needs
/// milliseconds, and those without one cannot keep it out by opening connections and staying silent.
const HANDSHAKES: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(120);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// For the last answers, when the door is closed.
const FAREWELL: Duration = Duration::from_secs(5);

/// Serves until the door is closed and the last answers are given; says why.
pub async fn serve(
    listener: TcpListener,
    security: Security,
    router: Router,
    mut closed: watch::Receiver<Option<Closed>>,
) -> Closed {
    let mut handshakes: VecDeque<AbortHandle> = VecDeque::new();
    let places = Places::new();
    let why = loop {
        let accepted = tokio::select! {
            biased;
            why = until_closed(&mut closed) => break why,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
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
        let (security, router, places) = (security.clone(), router.clone(), places.clone());
        let handshake = tokio::spawn(async move { shake_hands(&security, stream, peer).await });
        handshakes.push_back(handshake.abort_handle());
        let closed = closed.clone();
        tokio::spawn(async move {
            // An error is that it had to give way.
            let Ok(Some(stream)) = handshake.await else { return };
            let Some(place) = places.take(stream.is_certified()) else {
                tracing::warn!("{peer}: too many connections at a time");
                return;
            };
            converse(stream, peer, router, &place, closed).await;
        });
    };
    drop(listener);
    if tokio::time::timeout(FAREWELL, places.empty()).await.is_err() {
        tracing::warn!("connections are cut off that would not end");
    }
    why
}

async fn has_to_leave(place: &Place) {
    match &place.stranger {
        Some(stranger) => stranger.has_to_leave().await,
        None => std::future::pending().await,
    }
}

async fn until_closed(closed: &mut watch::Receiver<Option<Closed>>) -> Closed {
    let why = closed.wait_for(Option::is_some).await.ok().and_then(|why| *why);
    match why {
        Some(why) => why,
        // Nobody is left who could close it.
        None => std::future::pending().await,
    }
}

async fn converse(
    stream: Accepted,
    address: SocketAddr,
    router: Router,
    place: &Place,
    mut closed: watch::Receiver<Option<Closed>>,
) {
    let peer = Peer { address, certified: stream.is_certified(), encrypted: stream.is_encrypted() };
    let stranger = place.stranger.clone();
    let service = router.map_request(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(peer);
        if let Some(stranger) = &stranger {
            request.extensions_mut().insert(stranger.clone());
        }
        request
    });
    let mut connection = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .with_upgrades()
    );
    let served = tokio::select! {
        served = connection.as_mut() => served,
        _ = until_closed(&mut closed) => {
            // The answer that is under way is still given.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = has_to_leave(place) => {
            tracing::debug!("{address}: gives way to another caller");
            return;
        }
    };
    if let Err(error) = served {
        tracing::debug!("{address}: {error}");
    }
}

async fn shake_hands(security: &Security, stream: TcpStream, peer: SocketAddr) -> Option<Accepted> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("{peer}: {error}");
    }
    let config = match security {
        Security::Plain => return Some(Accepted::Plain(stream)),
        Security::Tls(config) => config.clone(),
    };
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
        Ok(Ok(stream)) => Some(Accepted::Tls(Box::new(stream))),
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
