//! How a fetch fails.

/// Whether it helps to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// The connection or the server broke: may work later.
    Retryable,
    /// Nothing came for too long: may work later.
    TimedOut,
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
