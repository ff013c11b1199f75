//! TLS 1.3 with certificates at both ends, and the server behind it. Who shows no client certificate of the
//! conductor's authority gets no byte of HTTP.

mod config;
mod server;

pub use config::{TlsConfigError, server_config};
pub(crate) use server::Accepted;
pub use server::{Peer, serve};
