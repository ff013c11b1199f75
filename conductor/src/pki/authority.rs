//! The authority itself: opened or made, and the certificates that it issues.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::client::{Resumption, WantsClientCert};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::files::{self, FileError};
use super::pinned::{Believed, provider};
use super::signature::{Signed, Signer};

/// How long the authority and the conductor's own certificate are valid.
const AUTHORITY_LIFE: Duration = Duration::days(3650);
/// How long a node's certificate is valid: longer than any deployment, shorter than anyone keeps a medium.
const NODE_LIFE: Duration = Duration::days(7);
/// Certificates begin this long before they are made, for clocks that are behind.
const HEAD_START: Duration = Duration::days(1);

/// Why the authority cannot be opened or cannot issue.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    #[error("{path}: cannot be read or created")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: readable by others (mode {mode:04o}); a key that others could read is not used")]
    KeyExposed { path: PathBuf, mode: u32 },
    #[error(
        "{path}: not a usable key or certificate; when the authority's files do not belong together, restore them together"
    )]
    Unusable {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("certificate for {subject} cannot be made")]
    Issue {
        subject: String,
        #[source]
        source: rcgen::Error,
    },
    #[error("certificate to be pinned is not PEM with one certificate")]
    Pinned(#[source] rustls::pki_types::pem::Error),
    #[error("no TLS 1.3 configuration can be made")]
    Tls(#[source] rustls::Error),
    #[error("the conductor's key does not sign")]
    Sign,
}

/// The conductor's certificate authority.
pub struct Pki {
    ca_pem: String,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    signer: Signer,
}

/// What a node is given for one boot: PEM, goes into the per-node part of its medium.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeIdentity {
    pub certificate_pem: String,
    /// PKCS#8.
    pub private_key_pem: String,
}

impl fmt::Debug for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeIdentity").field("certificate_pem", &self.certificate_pem).finish_non_exhaustive()
    }
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pki").field("ca_pem", &self.ca_pem).finish_non_exhaustive()
    }
}

impl Pki {
    /// Opens the authority in `directory`, or makes what is missing there: `ca.key`, `ca.crt` (10 years), and
    /// `conductor.key`, `conductor.crt`, the certificate with which the conductor calls.
    ///
    /// # Errors
    /// When a key is readable by others, or the files are damaged, expired or do not belong together.
    pub fn open_or_create(directory: &Path) -> Result<Self, PkiError> {
        files::create_directory(directory)
            .map_err(|source| PkiError::File { path: directory.to_owned(), source })?;
        let [ca_key_path, ca_path, key_path, certificate_path] =
            ["ca.key", "ca.crt", "conductor.key", "conductor.crt"].map(|name| directory.join(name));

        // The key comes first: whoever finds a key without its certificate (a crash between the two) completes the pair.
        let ca_key = open_key(&ca_key_path)?;
        let ca_pem = open_file(&ca_path, 0o644, || {
            let certificate = ca_params().self_signed(&ca_key).map_err(issue_error("the authority"))?;
            Ok(certificate.pem())
        })?;
        let ca_certificate = parse_certificate(&ca_path, &ca_pem)?;
        certified_key(&ca_path, &ca_certificate, &ca_key)?;
        let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key).map_err(|error| unusable(&ca_path, error))?;

        let key = open_key(&key_path)?;
        let pem = open_file(&certificate_path, 0o644, || {
            let subject = "Tacit conductor";
            let mut params = leaf_params(subject, ExtendedKeyUsagePurpose::ClientAuth, AUTHORITY_LIFE);
            params.serial_number = None;
            // Also for who knows nothing but when the authority began: a ramdisk whose clock is not set yet.
            params.not_before = not_before(&ca_certificate).map_err(|error| unusable(&ca_path, error))?;
            Ok(params.signed_by(&key, &issuer).map_err(issue_error(subject))?.pem())
        })?;
        let certificate = parse_certificate(&certificate_path, &pem)?;
        certified_key(&certificate_path, &certificate, &key)?;
        check_caller(&ca_certificate, &certificate).map_err(|error| unusable(&certificate_path, error))?;

        let signer = Signer::new(key.serialized_der(), [&certificate, &ca_certificate])
            .map_err(|error| unusable(&key_path, error.to_string()))?;

        Ok(Self { ca_pem, issuer, certificate, key: private_key(&key), signer })
    }

    /// A new key and a certificate for one boot of one node: for TLS servers only, subject alternative names
    /// `urn:uuid:<node>` and `address`, valid from a day ago to a week ahead.
    pub fn issue_node(&self, node: Uuid, address: IpAddr) -> Result<NodeIdentity, PkiError> {
        let subject = format!("node {node}");
        let mut params = leaf_params(&subject, ExtendedKeyUsagePurpose::ServerAuth, NODE_LIFE);
        let urn = format!("urn:uuid:{}", node.hyphenated());
        let urn = urn.try_into().map_err(issue_error(&subject))?;
        params.subject_alt_names = vec![SanType::URI(urn), SanType::IpAddress(address)];
        let key = KeyPair::generate().map_err(issue_error(&subject))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue_error(&subject))?;
        Ok(NodeIdentity { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
    }

    /// A new key and a certificate for a TLS server that is no node, by address or name; valid for as long as the
    /// authority.
    pub fn issue_server(&self, host: &str) -> Result<NodeIdentity, PkiError> {
        let mut params = leaf_params(host, ExtendedKeyUsagePurpose::ServerAuth, AUTHORITY_LIFE);
        params.subject_alt_names = vec![match host.parse::<IpAddr>() {
            Ok(address) => SanType::IpAddress(address),
            Err(_) => SanType::DnsName(host.try_into().map_err(issue_error(host))?),
        }];
        let key = KeyPair::generate().map_err(issue_error(host))?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(issue_error(host))?;
        Ok(NodeIdentity { certificate_pem: certificate.pem(), private_key_pem: key.serialize_pem() })
    }

    /// The authority's certificate, PEM: what an agent needs to recognise its conductor.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// Signs a statement with the conductor's key; its certificate and the authority's go along.
    pub fn sign(&self, statement: &serde_json::Value) -> Result<Signed, PkiError> {
        self.signer.sign(statement).map_err(|_| PkiError::Sign)
    }

    /// TLS 1.3, calling as the conductor, believing only the server that shows `pinned` and has its key.
    pub fn client_config(&self, pinned: &CertificateDer<'_>) -> Result<Arc<ClientConfig>, PkiError> {
        self.calling(Believed::Pinned(pinned.clone().into_owned()))
    }

    /// The same towards whoever answers: to learn which certificate it shows, and to say nothing to it.
    pub fn first_contact_config(&self) -> Result<Arc<ClientConfig>, PkiError> {
        self.calling(Believed::Anyone)
    }

    fn calling(&self, believed: Believed) -> Result<Arc<ClientConfig>, PkiError> {
        let config = believing(believed)?
            .with_client_auth_cert(vec![self.certificate.clone()], self.key.clone_key())
            .map_err(PkiError::Tls)?;
        Ok(proving_anew(config))
    }
}

/// TLS 1.3 without a certificate of the caller's, believing only the server that shows `pinned` and has its key.
pub(crate) fn anonymous_client_config(pinned: &CertificateDer<'_>) -> Result<Arc<ClientConfig>, PkiError> {
    let config = believing(Believed::Pinned(pinned.clone().into_owned()))?;
    Ok(proving_anew(config.with_no_client_auth()))
}

fn believing(believed: Believed) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, PkiError> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(PkiError::Tls)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(believed)))
}

/// Each connection proves its certificate; connections are few and long.
fn proving_anew(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

fn ca_params() -> CertificateParams {
    let mut params = params("Tacit conductor authority", AUTHORITY_LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

fn leaf_params(subject: &str, usage: ExtendedKeyUsagePurpose, life: Duration) -> CertificateParams {
    let mut params = params(subject, life);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    params
}

fn params(subject: &str, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    let now = OffsetDateTime::now_utc();
    params.not_before = now - HEAD_START;
    params.not_after = now + life;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, subject);
    params
}

fn not_before(certificate: &CertificateDer<'_>) -> Result<OffsetDateTime, BoxError> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)?;
    Ok(parsed.validity().not_before.to_datetime())
}

/// The conductor's certificate must be one that an agent with this authority accepts.
pub(super) fn check_caller(
    ca: &CertificateDer<'static>,
    certificate: &CertificateDer<'_>,
) -> Result<(), BoxError> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider())).build()?;
    verifier.verify_client_cert(certificate, &[], UnixTime::now())?;
    Ok(())
}

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

fn certified_key(path: &Path, certificate: &CertificateDer<'static>, key: &KeyPair) -> Result<(), PkiError> {
    CertifiedKey::from_der(vec![certificate.clone()], private_key(key), provider())
        .map(|_| ())
        .map_err(|error| unusable(path, error))
}

fn private_key(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(key.serialize_der().into())
}

fn open_key(path: &Path) -> Result<KeyPair, PkiError> {
    let pem = open_file(path, 0o600, || {
        Ok(KeyPair::generate().map_err(issue_error(&path.display().to_string()))?.serialize_pem())
    })?;
    KeyPair::from_pem(&pem).map_err(|error| unusable(path, error))
}

fn parse_certificate(path: &Path, pem: &str) -> Result<CertificateDer<'static>, PkiError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| unusable(path, error))
}

fn open_file(
    path: &Path,
    mode: u32,
    make: impl FnOnce() -> Result<String, PkiError>,
) -> Result<String, PkiError> {
    enum Either {
        File(FileError),
        Pki(PkiError),
    }
    impl From<FileError> for Either {
        fn from(error: FileError) -> Self {
            Self::File(error)
        }
    }
    files::read_or_create(path, mode, || make().map_err(Either::Pki)).map_err(|error| match error {
        Either::Pki(error) => error,
        Either::File(FileError::Io(source)) => PkiError::File { path: path.to_owned(), source },
        Either::File(FileError::Exposed(mode)) => PkiError::KeyExposed { path: path.to_owned(), mode },
    })
}

fn unusable(path: &Path, source: impl Into<BoxError>) -> PkiError {
    PkiError::Unusable { path: path.to_owned(), source: source.into() }
}

fn issue_error(subject: &str) -> impl FnOnce(rcgen::Error) -> PkiError + use<> {
    let subject = subject.to_owned();
    move |source| PkiError::Issue { subject, source }
}
