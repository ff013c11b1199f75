//! Who is there? For machines whose certificate nobody could know beforehand.

use std::net::SocketAddr;

use rustls::pki_types::CertificateDer;

use crate::pki::Pki;

use super::dial::Dialler;
use super::error::AgentError;

/// The certificate of whoever answers at `address` and has its key. Nothing is said over this connection: what is
/// shown is to be pinned first ([`super::AgentClient::pinning`]).
///
/// # Errors
/// [`AgentError::Unreachable`] when nobody answers, or not with TLS 1.3.
pub async fn see(pki: &Pki, address: SocketAddr) -> Result<CertificateDer<'static>, AgentError> {
    let stream = Dialler::new(address, pki.first_contact_config()?).connect().await?;
    let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
    shown.ok_or_else(|| AgentError::Protocol { address, detail: "it shows no certificate".to_owned() })
}
