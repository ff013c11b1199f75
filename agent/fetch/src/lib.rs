//! Gets bytes by URL: over connections that the conductor lent, or dialled where a site allows that. One client, two
//! connectors. The direct connector is the only thing in this agent that opens a connection.

mod checksum;
mod client;
mod direct;
mod error;
mod lent;
mod reader;
mod source;
mod url;

pub use checksum::find_checksum;
pub use client::{Fetcher, Got};
pub use error::{FetchError, FetchKind};
pub use lent::LendPool;
pub use reader::BodyReader;
pub use source::HttpSource;
pub use url::{Url, UrlError};

/// How a fetch learns that nobody wants it any more, and tells that it needs a lent connection.
pub trait Interest: Send + Sync {
    fn cancelled(&self) -> bool;
    fn lend_wanted(&self);
}
