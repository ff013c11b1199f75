//! The server. For its own conductor: TLS 1.3 with certificates at both ends, and who shows none of the conductor's
//! authority gets no byte of HTTP. As IPA: TLS with the agent's certificate alone, or none.

mod config;
mod own;
mod places;
mod server;
mod stream;

pub use config::{IpaTls, TlsConfigError, TlsVersions, ipa_config, server_config};
pub use own::{Curve, OwnCertificate, OwnCertificateError};
pub use places::Stranger;
pub use server::{Peer, Security, serve};
pub(crate) use stream::Accepted;
