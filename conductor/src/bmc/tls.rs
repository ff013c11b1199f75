//! TLS towards a BMC: system authorities, a site's own authority, or a pinned certificate.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::driver_info::VerifyCa;

/// A client configuration for this way of verifying; the reason when it cannot be made.
pub(super) fn client_config(verify: &VerifyCa) -> Result<ClientConfig, String> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = match verify {
        VerifyCa::System => {
            Verifier { pinned: Vec::new(), authorities: Some(system(&provider)?), off: false }
        }
        VerifyCa::Path(path) => {
            let certificates = read(path)?;
            Verifier { authorities: authorities(&certificates, &provider), pinned: certificates, off: false }
        }
        VerifyCa::Off => Verifier { pinned: Vec::new(), authorities: None, off: true },
    };
    let verifier = PinningVerifier { verifier, provider: Arc::clone(&provider) };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(config)
}

/// The operating system's authorities, read once per process.
fn system(provider: &Arc<CryptoProvider>) -> Result<Arc<WebPkiServerVerifier>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "cannot read some of the system's certificate authorities");
        }
        roots.add_parsable_certificates(found.certs);
        Arc::new(roots)
    });
    WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .build()
        .map_err(|error| format!("the system has no usable certificate authorities: {error}"))
}

fn authorities(
    certificates: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
) -> Option<Arc<WebPkiServerVerifier>> {
    let mut roots = RootCertStore::empty();
    // A BMC's self-signed certificate may be too odd to be an authority (version 1, no names); it still can be pinned.
    roots.add_parsable_certificates(certificates.iter().cloned());
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build().ok()
}

fn read(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let fail = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let entries = std::fs::read_dir(path).map_err(|error| fail(path, &error))?;
        files =
            entries.filter_map(Result::ok).map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        files.sort();
    }
    let mut certificates = Vec::new();
    for file in files {
        let pem = std::fs::read(&file).map_err(|error| fail(&file, &error))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            certificates.push(certificate.map_err(|error| fail(&file, &error))?);
        }
    }
    if certificates.is_empty() { Err(fail(path, &"holds no PEM certificate")) } else { Ok(certificates) }
}

#[derive(Debug)]
struct Verifier {
    /// Certificates that are trusted as they are, whatever name or date they carry.
    pinned: Vec<CertificateDer<'static>>,
    authorities: Option<Arc<WebPkiServerVerifier>>,
    off: bool,
}

/// Accepts a certificate that the operator handed over byte for byte, else what the authorities vouch for.
///
/// Most BMCs come with a self-signed certificate: marked as an authority, without the address that they are reached
/// by, often past its date. Possession of exactly that key is a stronger statement than a name.
#[derive(Debug)]
struct PinningVerifier {
    verifier: Verifier,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinningVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.verifier.off
            || self.verifier.pinned.iter().any(|pinned| pinned.as_ref() == end_entity.as_ref())
        {
            return Ok(ServerCertVerified::assertion());
        }
        match &self.verifier.authorities {
            Some(authorities) => {
                authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            None => Err(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)),
        }
    }

    // The handshake's signature is checked in every mode: it is what ties the certificate to the other end's key.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Whether a failed request failed in TLS rather than below it.
pub(super) fn is_tls_failure(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<Error>() {
            return true;
        }
        // An io::Error hands out its content's source, not its content, and may hold another of its kind.
        cause = match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}
