//! The certificate that an agent makes for itself, as IPA's automatic TLS does (IPA contract §1.9).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, SanType,
};
use serde::{Deserialize, Serialize};

/// The machine's clock may be ahead by a time zone.
const SKEW: Duration = Duration::from_secs(24 * 3600);
/// It may be behind by as long as its ramdisk is old. The certificate is believed because it is this one, its key
/// ends with the boot, and a date that Ironic finds wrong would only end the operation: IPA's 30 days are too short.
const VALIDITY: Duration = Duration::from_secs(3650 * 24 * 3600);

/// `tls_certificate_curve`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Curve {
    P256,
    #[default]
    P384,
}

/// A certificate and its key, PEM. One for a whole boot: Ironic refuses a node whose certificate changes.
#[derive(Clone, Serialize, Deserialize)]
pub struct OwnCertificate {
    boot_id: String,
    addresses: Vec<IpAddr>,
    pub certificate: String,
    pub private_key: String,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OwnCertificateError {
    #[error("the certificate cannot be made")]
    Make(#[from] rcgen::Error),
    #[error("{path} cannot be written")]
    Keep {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

impl OwnCertificate {
    /// The certificate of this boot from `directory`, or a new one for `addresses`, kept there.
    ///
    /// # Errors
    ///
    /// [`OwnCertificateError`].
    pub fn of_boot(
        directory: &Path,
        boot_id: &str,
        addresses: &[IpAddr],
        curve: Curve,
    ) -> Result<Self, OwnCertificateError> {
        let path = directory.join("certificate.json");
        let kept = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        if let Some(kept) = kept.filter(|kept| kept.boot_id == boot_id && kept.addresses == addresses) {
            return Ok(kept);
        }
        let made = Self::new(boot_id, addresses, curve)?;
        made.keep(&path).map_err(|source| OwnCertificateError::Keep { path, source })?;
        Ok(made)
    }

    fn new(boot_id: &str, addresses: &[IpAddr], curve: Curve) -> Result<Self, rcgen::Error> {
        let algorithm = match curve {
            Curve::P256 => &PKCS_ECDSA_P256_SHA256,
            Curve::P384 => &PKCS_ECDSA_P384_SHA384,
        };
        let key = KeyPair::generate_for(algorithm)?;
        let mut params = CertificateParams::default();
        let mut name = DistinguishedName::new();
        name.push(DnType::CommonName, "tacit-agent");
        params.distinguished_name = name;
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let now = SystemTime::now();
        params.not_before = (now - SKEW).into();
        params.not_after = (now + VALIDITY).into();
        let certificate = params.self_signed(&key)?;
        Ok(Self {
            boot_id: boot_id.to_owned(),
            addresses: addresses.to_vec(),
            certificate: certificate.pem(),
            private_key: key.serialize_pem(),
        })
    }

    fn keep(&self, path: &Path) -> io::Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_for_a_boot_and_its_addresses() {
        let directory = tempfile::tempdir().unwrap();
        let addresses: Vec<IpAddr> = vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        let make = |boot: &str, addresses: &[IpAddr]| {
            OwnCertificate::of_boot(directory.path(), boot, addresses, Curve::P384).unwrap().certificate
        };
        let first = make("boot", &addresses);
        assert_eq!(make("boot", &addresses), first);
        assert_ne!(make("boot", &addresses[..1]), first);
        assert_ne!(make("another", &addresses), first);
    }
}
