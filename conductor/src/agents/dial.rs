//! From a known address to an authenticated HTTP connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::AgentError;

const CONNECT_LIMIT: Duration = Duration::from_secs(3);
/// Both ends sign, and the node's may be an emulated or very old CPU.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// A silent connection is probed after this long, and this often.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// Sent bytes that stay unacknowledged this long mean that the connection is gone.
const UNACKNOWLEDGED_LIMIT: Duration = Duration::from_secs(30);

pub(super) type Sender = SendRequest<Full<Bytes>>;
pub(super) type Wire = TokioIo<TlsStream<TcpStream>>;

/// An agent's address, and how to know that it is the right one.
#[derive(Clone)]
pub(super) struct Dialler {
    pub(super) address: SocketAddr,
    tls: TlsConnector,
}

impl Dialler {
    pub(super) fn new(address: SocketAddr, config: Arc<ClientConfig>) -> Self {
        Self { address, tls: TlsConnector::from(config) }
    }

    /// Dials. When this returns, the other end has proven who it is, and no byte of HTTP was sent.
    pub(super) async fn dial(&self) -> Result<(Sender, Connection<Wire, Full<Bytes>>), AgentError> {
        let stream = self.connect().await?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        handshake.map_err(|error| AgentError::connection(self.address, error))
    }

    /// [`Self::dial`] without HTTP.
    pub(super) async fn connect(&self) -> Result<TlsStream<TcpStream>, AgentError> {
        let address = self.address;
        let handshake = self.tls.connect(ServerName::from(address.ip()), tcp(address).await?);
        timeout(HANDSHAKE_LIMIT, handshake)
            .await
            .map_err(|_| AgentError::timeout(address, "TLS handshake"))?
            .map_err(|source| AgentError::connection(address, source))
    }
}

/// A connection to whoever is there.
pub(super) async fn tcp(address: SocketAddr) -> Result<TcpStream, AgentError> {
    let broken = |source| AgentError::connection(address, source);
    let stream = timeout(CONNECT_LIMIT, TcpStream::connect(address))
        .await
        .map_err(|_| AgentError::timeout(address, "TCP connection"))?
        .map_err(broken)?;
    tune(&stream).map_err(broken)?;
    Ok(stream)
}

fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_LIMIT))
}
