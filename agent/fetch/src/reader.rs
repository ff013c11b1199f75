//! A response body as a blocking reader, for the threads that decode and write.

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use crate::lent::{LendPool, Sender};
use crate::{FetchKind, Interest};

/// How often a waiting fetch looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(200);

/// What a wait came to.
pub(super) enum Waited<T> {
    Done(T),
    TimedOut,
    Cancelled,
}

/// Waits for `future`, at most `limit`, and only as long as somebody wants it.
pub(super) async fn wait<F: Future>(
    interest: &dyn Interest,
    limit: Duration,
    future: F,
) -> Waited<F::Output> {
    let mut future = std::pin::pin!(future);
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if interest.cancelled() {
            return Waited::Cancelled;
        }
        let look = (tokio::time::Instant::now() + LOOK).min(deadline);
        match tokio::time::timeout_at(look, &mut future).await {
            Ok(output) => return Waited::Done(output),
            Err(_) if look == deadline => return Waited::TimedOut,
            Err(_) => {}
        }
    }
}

/// Bytes of one response.
pub struct BodyReader {
    pub(super) runtime: Handle,
    pub(super) interest: Arc<dyn Interest>,
    pub(super) stall: Duration,
    pub(super) body: Incoming,
    pub(super) chunk: Bytes,
    /// Goes back to its pool once the body was read to its end.
    pub(super) connection: Option<(Sender, Option<Arc<LendPool>>)>,
    pub(super) ended: bool,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyReader").field("ended", &self.ended).finish_non_exhaustive()
    }
}

impl BodyReader {
    fn fill(&mut self) -> Result<(), (FetchKind, String)> {
        while self.chunk.is_empty() && !self.ended {
            let frame = wait(&*self.interest, self.stall, self.body.frame());
            match self.runtime.block_on(frame) {
                Waited::Done(Some(Ok(frame))) => self.chunk = frame.into_data().unwrap_or_default(),
                Waited::Done(None) => {
                    self.ended = true;
                    if let Some((sender, Some(pool))) = self.connection.take() {
                        self.runtime.spawn(async move { pool.give_back(sender).await });
                    }
                }
                Waited::Done(Some(Err(error))) => return Err((FetchKind::Retryable, error.to_string())),
                Waited::TimedOut => {
                    let seconds = self.stall.as_secs();
                    return Err((FetchKind::TimedOut, format!("no byte came for {seconds} s")));
                }
                Waited::Cancelled => return Err((FetchKind::Cancelled, "cancelled".into())),
            }
        }
        Ok(())
    }
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill().map_err(|(kind, what)| {
            let kind = match kind {
                FetchKind::Retryable => io::ErrorKind::ConnectionReset,
                FetchKind::TimedOut => io::ErrorKind::TimedOut,
                FetchKind::Fatal | FetchKind::Cancelled => io::ErrorKind::Other,
            };
            io::Error::new(kind, what)
        })?;
        let length = buffer.len().min(self.chunk.len());
        self.chunk.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
