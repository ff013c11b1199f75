//! Connections that the conductor lent: dialled by it, used by us as HTTP client (reverse HTTP).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::{Read, Write};
use tokio::sync::Notify;

/// A connection on which requests can be sent.
pub(super) type Sender = SendRequest<Empty<Bytes>>;

/// More idle connections than this are not kept.
const CAPACITY: usize = 32;

/// The lent connections that nobody uses at the moment.
#[derive(Debug, Default)]
pub struct LendPool {
    idle: Mutex<VecDeque<Sender>>,
    arrived: Notify,
}

impl LendPool {
    /// Takes a connection that was just turned round.
    pub async fn add<T>(self: &Arc<Self>, io: T)
    where
        T: Read + Write + Unpin + Send + 'static,
    {
        match handshake(io).await {
            Ok(sender) => self.put(sender),
            Err(error) => tracing::warn!("a lent connection cannot be used: {error}"),
        }
    }

    fn put(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        if idle.len() < CAPACITY {
            idle.push_back(sender);
            self.arrived.notify_one();
        }
    }

    /// Takes back a connection whose last answer was read to its end.
    pub(super) async fn give_back(&self, mut sender: Sender) {
        if sender.ready().await.is_ok() {
            self.put(sender);
        }
    }

    fn try_take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sender| !sender.is_closed());
        idle.pop_front()
    }

    /// An idle connection; calls `wanted` if it has to wait for one.
    pub(super) async fn take(&self, wanted: impl FnOnce()) -> Sender {
        let mut wanted = Some(wanted);
        loop {
            // Registered before the look, so that an arrival in between is not missed.
            let arrived = self.arrived.notified();
            if let Some(sender) = self.try_take() {
                return sender;
            }
            if let Some(wanted) = wanted.take() {
                wanted();
            }
            arrived.await;
        }
    }
}

/// Makes an HTTP/1.1 client of a connection.
pub(super) async fn handshake<T>(io: T) -> Result<Sender, hyper::Error>
where
    T: Read + Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection for fetching ended: {error}");
        }
    });
    Ok(sender)
}
