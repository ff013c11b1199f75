//! A response body as a blocking reader, for the threads that decode and write.

use std::io::{self, Read};
use std::time::Duration;

use crate::FetchError;
use crate::connection::Connection;
use crate::error::Broken;
use crate::framing::Rest;
use crate::idle::Home;
use crate::patience::Patience;

/// A body that is worth being read to its end for its connection's sake, in bytes.
const WORTH: u64 = 64 << 10;
/// Longest silence while that is done.
const HASTE: Duration = Duration::from_secs(1);

/// Bytes of one response. Dropped before its end, it closes its connection and does not wait for anything.
pub struct BodyReader {
    /// There until the body ended or broke; its way home, where another request may follow.
    connection: Option<(Connection, Option<Home>)>,
    rest: Rest,
    /// No more than this is handed out, whatever the server sends.
    limit: u64,
    broken: bool,
    patience: Patience,
    url: String,
}

impl std::fmt::Debug for BodyReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BodyReader").field("url", &self.url).field("rest", &self.rest).finish_non_exhaustive()
    }
}

impl BodyReader {
    pub(crate) fn new(
        connection: Connection,
        home: Option<Home>,
        rest: Rest,
        patience: Patience,
        url: String,
    ) -> Self {
        let mut reader = Self {
            connection: Some((connection, home)),
            rest,
            limit: u64::MAX,
            broken: false,
            patience,
            url,
        };
        reader.settle();
        reader
    }

    /// A body of no bytes.
    pub(crate) fn nothing(patience: Patience, url: String) -> Self {
        Self { connection: None, rest: Rest::Exactly(0), limit: 0, broken: false, patience, url }
    }

    pub(crate) fn limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// Reads like [`Read::read`], with the failure as it is.
    ///
    /// # Errors
    ///
    /// When the connection broke, nothing came for too long, or nobody wants the bytes any more.
    pub fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, FetchError> {
        self.fetch(buf).map_err(|broken| broken.at(&self.url))
    }

    fn fetch(&mut self, buf: &mut [u8]) -> Result<usize, Broken> {
        let room = buf.len().min(usize::try_from(self.limit).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let Some((connection, _)) = &mut self.connection else {
            return if self.broken { Err(Broken::retryable("the body broke off before")) } else { Ok(0) };
        };
        match self.rest.read(connection, &mut buf[..room], &self.patience) {
            Ok(read) => {
                self.limit -= read as u64;
                if read == 0 && matches!(self.rest, Rest::UntilClose) {
                    self.connection = None;
                }
                self.settle();
                Ok(read)
            }
            Err(broken) => {
                self.connection = None;
                self.broken = true;
                Err(broken)
            }
        }
    }

    /// Reads a short rest, so that the connection serves again. What goes wrong with it concerns nobody.
    pub(crate) fn finish(mut self) {
        if self.connection.as_ref().is_none_or(|(_, home)| home.is_none()) {
            return;
        }
        self.patience = self.patience.at_most(HASTE);
        let mut left = WORTH;
        let mut buf = [0; 4096];
        if matches!(self.rest, Rest::Exactly(length) if length > WORTH) {
            return;
        }
        while left > 0 {
            match self.fetch(&mut buf) {
                Ok(0) => return,
                Ok(read) => left = left.saturating_sub(read as u64),
                Err(broken) => {
                    tracing::debug!("{}: {}", self.url, broken.what);
                    return;
                }
            }
        }
    }

    /// Sends the connection home when the body is over.
    fn settle(&mut self) {
        if self.rest.ended()
            && let Some((connection, Some(home))) = self.connection.take()
        {
            home.give_back(connection);
        }
    }
}

impl Read for BodyReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        Ok(self.fetch(buf)?)
    }
}
