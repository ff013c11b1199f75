//! How a fetch fails.

use std::io;

/// Whether it helps to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// The connection or the server broke: may work later.
    Retryable,
    /// Nothing came for too long: may work later.
    TimedOut,
    /// What is there now is not what a part of was fetched before.
    Changed,
    /// The server refuses, or what it says makes no sense.
    Fatal,
    Cancelled,
}

/// A failed fetch. The text names the URL without its query, which may hold secrets.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{url}: {what}")]
pub struct FetchError {
    pub kind: FetchKind,
    pub url: String,
    pub what: String,
}

/// A failure that does not know its URL yet.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) kind: FetchKind,
    pub(crate) what: String,
}

impl Broken {
    pub(crate) fn new(kind: FetchKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into() }
    }

    pub(crate) fn retryable(what: impl Into<String>) -> Self {
        Self::new(FetchKind::Retryable, what)
    }

    pub(crate) fn fatal(what: impl Into<String>) -> Self {
        Self::new(FetchKind::Fatal, what)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(FetchKind::Cancelled, "cancelled")
    }

    pub(crate) fn at(self, url: &str) -> FetchError {
        FetchError { kind: self.kind, url: url.to_owned(), what: self.what }
    }
}

impl From<Broken> for io::Error {
    fn from(broken: Broken) -> Self {
        let kind = match broken.kind {
            FetchKind::Retryable => io::ErrorKind::ConnectionReset,
            FetchKind::TimedOut => io::ErrorKind::TimedOut,
            FetchKind::Changed | FetchKind::Fatal | FetchKind::Cancelled => io::ErrorKind::Other,
        };
        Self::new(kind, broken.what)
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
