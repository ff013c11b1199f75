//! Whom a dialled server's certificate must be from.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;

/// Certificate authorities: the public ones, and a site's own. There is no way to trust without any.
#[derive(Clone, Debug)]
pub struct Authorities {
    roots: RootCertStore,
}

/// Why authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    #[error("the authorities are no PEM")]
    Pem(#[source] rustls_pki_types::pem::Error),
    #[error("a certificate of an authority cannot be used")]
    Certificate(#[source] rustls::Error),
    #[error("the authorities' PEM holds no certificate")]
    Empty,
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

impl Authorities {
    /// The public ones, as the web knows them.
    pub fn public() -> Self {
        Self { roots: RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()) }
    }

    /// These and the certificates of a PEM text.
    ///
    /// # Errors
    ///
    /// When it is no PEM, holds no certificate, or one that cannot be used.
    pub fn with_pem(mut self, pem: &[u8]) -> Result<Self, AuthoritiesError> {
        let mut any = false;
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(AuthoritiesError::Pem)?;
            self.roots.add(certificate).map_err(AuthoritiesError::Certificate)?;
            any = true;
        }
        if any { Ok(self) } else { Err(AuthoritiesError::Empty) }
    }

    pub(crate) fn client_config(self) -> Result<Arc<ClientConfig>, AuthoritiesError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(AuthoritiesError::Tls)?
            .with_root_certificates(self.roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_certificates_are_an_error() {
        assert!(matches!(Authorities::public().with_pem(b"hello"), Err(AuthoritiesError::Empty)));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(Authorities::public().with_pem(broken), Err(AuthoritiesError::Certificate(_))));
    }
}
