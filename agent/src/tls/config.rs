//! The TLS configuration of a node.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::ring;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig, version};
use tacit_protocol::medium::NodeConfig;

/// Why a node's configuration makes no TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    #[error("{what} of the node configuration is no PEM")]
    Pem {
        what: &'static str,
        #[source]
        source: PemError,
    },
    #[error("the certificate authority cannot be used")]
    Authority(#[source] VerifierBuilderError),
    #[error("certificate and key cannot be used")]
    Tls(#[from] rustls::Error),
}

/// A clock that never reads earlier than the node's configuration was made: a ramdisk's can say 1970.
#[derive(Debug)]
struct FlooredTime {
    floor: UnixTime,
}

impl TimeProvider for FlooredTime {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::now().max(self.floor))
    }
}

/// TLS 1.3 with the node's certificate, for callers with a client certificate of the node's authority.
pub fn server_config(config: &NodeConfig) -> Result<ServerConfig, TlsConfigError> {
    let pem = |what| move |source| TlsConfigError::Pem { what, source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(config.ca_certificate.as_bytes()) {
        roots.add(certificate.map_err(pem("ca_certificate"))?)?;
    }
    let chain = CertificateDer::pem_slice_iter(config.certificate.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(pem("certificate"))?;
    let key = PrivateKeyDer::from_pem_slice(config.private_key.as_bytes()).map_err(pem("private_key"))?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(TlsConfigError::Authority)?;
    let floor = UnixTime::since_unix_epoch(Duration::from_secs(config.made_at.max(0).unsigned_abs()));
    let mut tls = ServerConfig::builder_with_details(provider, Arc::new(FlooredTime { floor }))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(tls)
}
