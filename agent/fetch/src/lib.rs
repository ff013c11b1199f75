//! Images over HTTP: over connections that the conductor lent, or dialled where a site allows that. One client, two
//! connectors.
//!
//! Owns the requests of an image's way (ranges, redirects, what an answer means), the connections that are kept for the
//! next request, and the trust in servers that are dialled. Everything blocks, for at most a moment at a time: a fetch
//! ends soon after nobody wants it any more. Refuses to leave https for http, to trust a server without a certificate,
//! to show credentials to another origin than their own, and to know what the bytes mean.

mod authorities;
mod checksum;
mod client;
mod connection;
mod dial;
mod error;
mod framing;
mod head;
mod idle;
mod lent;
mod patience;
mod reader;
mod request;
mod source;
mod url;

pub use authorities::{Authorities, AuthoritiesError};
pub use checksum::find_checksum;
pub use client::{Fetcher, Got};
pub use error::{FetchError, FetchKind};
pub use lent::{LendPool, LentConnection};
pub use patience::Interest;
pub use reader::BodyReader;
pub use source::HttpSource;
pub use url::{Url, UrlError};
