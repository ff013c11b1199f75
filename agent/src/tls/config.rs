//! The TLS configuration of a node.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoClientAuth, NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use tacit_protocol::medium::NodeConfig;

/// Why a node's configuration makes no TLS server.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    #[error("{what} is no PEM")]
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
    let provider = Arc::new(ring::default_provider());
    let roots = authority("ca_certificate of the node configuration", &config.ca_certificate)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(TlsConfigError::Authority)?;
    let floor = UnixTime::since_unix_epoch(Duration::from_secs(config.made_at.max(0).unsigned_abs()));
    let (chain, key) = identity(
        ("certificate of the node configuration", &config.certificate),
        ("private_key of the node configuration", &config.private_key),
    )?;
    let tls = ServerConfig::builder_with_details(provider, Arc::new(FlooredTime { floor }))
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok(without_memory(tls))
}

/// Which versions of TLS an agent in IPA's place speaks (IPA contract §1.9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersions {
    #[default]
    From12,
    From13,
}

impl TlsVersions {
    fn offered(self) -> &'static [&'static SupportedProtocolVersion] {
        static OFFERED: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
        match self {
            Self::From12 => &OFFERED,
            Self::From13 => &OFFERED[..1],
        }
    }
}

/// TLS of an agent in IPA's place: all parts PEM.
pub struct IpaTls<'a> {
    pub certificate: &'a str,
    pub private_key: &'a str,
    /// Callers with a client certificate of it need no token.
    pub authority: Option<&'a str>,
    pub versions: TlsVersions,
}

/// TLS for callers who know the token, and for those with a certificate of `authority`.
pub fn ipa_config(ipa: &IpaTls<'_>) -> Result<ServerConfig, TlsConfigError> {
    let provider = Arc::new(CryptoProvider {
        cipher_suites: ring::default_provider()
            .cipher_suites
            .into_iter()
            .filter(|suite| suite.tls13().is_some() || IPA_TLS12.contains(&suite.suite()))
            .collect(),
        ..ring::default_provider()
    });
    let verifier = match ipa.authority {
        None => Arc::new(NoClientAuth),
        Some(pem) => {
            let roots = authority("the bridge's authority", pem)?;
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(TlsConfigError::Authority)?
        }
    };
    let (chain, key) =
        identity(("the agent's certificate", ipa.certificate), ("the agent's key", ipa.private_key))?;
    let tls = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(ipa.versions.offered())?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    Ok(without_memory(tls))
}

/// IPA contract §1.9: forward secrecy and authenticated encryption only.
const IPA_TLS12: [CipherSuite; 4] = [
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

fn authority(what: &'static str, pem: &str) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.map_err(|source| TlsConfigError::Pem { what, source })?)?;
    }
    Ok(roots)
}

fn identity<'a>(
    (chain_is, chain): (&'static str, &str),
    (key_is, key): (&'static str, &str),
) -> Result<(Vec<CertificateDer<'a>>, PrivateKeyDer<'a>), TlsConfigError> {
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| TlsConfigError::Pem { what: chain_is, source })?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|source| TlsConfigError::Pem { what: key_is, source })?;
    Ok((chain, key))
}

/// No session outlives its connection.
fn without_memory(mut tls: ServerConfig) -> ServerConfig {
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    tls
}
