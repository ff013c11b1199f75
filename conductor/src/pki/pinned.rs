//! Accepts one certificate, byte for byte, and nothing else; or, to look at it, whatever is shown first.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, PeerIncompatible, SignatureScheme};

/// The one cryptographic provider of this process.
pub(crate) fn provider() -> &'static Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider()))
}

/// The first 16 hexadecimal digits of a certificate's SHA-256: enough for a person to tell two apart.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    let suite = ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let suite = suite.tls13().expect("a TLS 1.3 suite");
    let digest = suite.common.hash_provider.hash(certificate);
    digest.as_ref()[..8].iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes every write");
        text
    })
}

/// The peer shows another certificate than the one that was delivered to the node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it shows certificate {shown} instead of {expected}, the only one that is believed there")]
pub struct NotPinned {
    /// [`fingerprint`] of what the peer shows.
    pub shown: String,
    /// [`fingerprint`] of what was delivered.
    pub expected: String,
}

/// Which server is believed.
#[derive(Debug)]
pub(super) enum Believed {
    Pinned(CertificateDer<'static>),
    /// Whoever has the key of the certificate that is shown: nothing secret may be said to it.
    Anyone,
}

impl ServerCertVerifier for Believed {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = match self {
            Self::Anyone => return Ok(ServerCertVerified::assertion()),
            // Name and time say nothing more once the bytes are equal, and the node's clock is no authority.
            Self::Pinned(pinned) if end_entity == pinned => return Ok(ServerCertVerified::assertion()),
            Self::Pinned(pinned) => pinned,
        };
        let reason = NotPinned { shown: fingerprint(end_entity), expected: fingerprint(pinned) };
        Err(CertificateError::Other(OtherError(Arc::new(reason))).into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(PeerIncompatible::ServerDoesNotSupportTls12Or13.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}
