//! The direct connector: dials the URL's host, as IPA does. Only used when an image's transport says so, and by
//! engineers.

use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustls::{ClientConfig, ClientConnection, StreamOwned};
use rustls_pki_types::ServerName;

use crate::connection::{Connection, Stream, Wire};
use crate::error::{Broken, chain};
use crate::patience::Patience;
use crate::url::Origin;

/// Longest wait for one of several addresses of a host.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Dials `origin`, and verifies who answers where that is https.
pub(crate) fn dial(
    origin: &Origin,
    tls: &Arc<ClientConfig>,
    patience: &Patience,
) -> Result<Connection, Broken> {
    let socket = connect(origin, patience)?;
    let prepared = socket
        .set_nodelay(true)
        .and_then(|()| socket.set_read_timeout(Some(patience.look())))
        .and_then(|()| socket.set_write_timeout(Some(patience.look())));
    prepared.map_err(|error| Broken::retryable(error.to_string()))?;
    if !origin.https {
        return Ok(Connection::new(Stream::Plain(socket), Vec::new()));
    }
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|_| Broken::fatal(format!("{} cannot be in a certificate", origin.host)))?;
    let session = ClientConnection::new(tls.clone(), name).map_err(|error| Broken::fatal(chain(&error)))?;
    let mut stream = StreamOwned::new(session, Wire::new(socket));
    while stream.conn.is_handshaking() {
        patience.insist("no TLS handshake came about", || stream.conn.complete_io(&mut stream.sock))?;
    }
    Ok(Connection::new(Stream::Client(Box::new(stream)), Vec::new()))
}

/// Looking up a name cannot be interrupted, so it is left to a thread that may be left behind.
fn connect(origin: &Origin, patience: &Patience) -> Result<TcpStream, Broken> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let (host, port, limit) = (origin.host.clone(), origin.port, patience.stall());
    let dialling = thread::Builder::new().name("dial".to_owned()).spawn(move || {
        if sender.send(connect_any(&host, port, limit)).is_err() {
            tracing::debug!("nobody waits for the connection to {host} any more");
        }
    });
    dialling.map_err(|error| Broken::retryable(format!("no thread to dial: {error}")))?;
    let start = Instant::now();
    loop {
        match receiver.recv_timeout(patience.look()) {
            Ok(outcome) => return outcome.map_err(|error| Broken::retryable(error.to_string())),
            Err(RecvTimeoutError::Timeout) => patience.check(start, "no connection came about")?,
            Err(RecvTimeoutError::Disconnected) => return Err(Broken::retryable("dialling broke off")),
        }
    }
}

fn connect_any(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
    let each = if addresses.len() > 1 { limit.min(ADDRESS_TIMEOUT) } else { limit };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in addresses {
        match TcpStream::connect_timeout(&address, each) {
            Ok(socket) => return Ok(socket),
            Err(error) => last = io::Error::new(error.kind(), format!("{address}: {error}")),
        }
    }
    Err(last)
}
