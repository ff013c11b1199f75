//! Statements that the conductor signs with its key, as JSON Web Signatures (RFC 7515, flattened; RFC 7518 §3.4).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, UnparsedPublicKey,
};
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::authority::check_caller;

/// A signed statement in the flattened JSON serialization; all three members are base64url.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    pub protected: String,
    pub payload: String,
    pub signature: String,
}

/// Why a statement is not believed.
#[derive(Debug, thiserror::Error)]
pub enum SignatureError {
    #[error("{part} is not what it should be")]
    Malformed { part: &'static str },
    #[error("the signature is not made by the key of the certificate beside it")]
    Wrong,
    #[error("the certificate beside the signature is not one of this authority")]
    Stranger(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// A statement whose signature is good.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    pub payload: Value,
    /// SHA-256 of the signer's certificate, hexadecimal.
    pub signer: String,
}

/// The key that signs, and what proves whose it is.
pub(super) struct Signer {
    key: EcdsaKeyPair,
    header: String,
}

impl Signer {
    /// `pkcs8` is an ECDSA P-256 key, `chain` its certificate and the authority's.
    pub(super) fn new(
        pkcs8: &[u8],
        chain: [&CertificateDer<'_>; 2],
    ) -> Result<Self, ring::error::KeyRejected> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &SystemRandom::new())?;
        let header = json!({"alg": "ES256", "x5c": chain.map(|certificate| STANDARD.encode(certificate))});
        Ok(Self { key, header: URL_SAFE_NO_PAD.encode(header.to_string()) })
    }

    pub(super) fn sign(&self, statement: &Value) -> Result<Signed, ring::error::Unspecified> {
        let payload = URL_SAFE_NO_PAD.encode(statement.to_string());
        let input = format!("{}.{payload}", self.header);
        let signature = self.key.sign(&SystemRandom::new(), input.as_bytes())?;
        let signature = URL_SAFE_NO_PAD.encode(signature);
        Ok(Signed { protected: self.header.clone(), payload, signature })
    }
}

impl Signed {
    /// What is stated, without a look at the signature.
    pub fn statement(&self) -> Option<Value> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&self.payload).ok()?).ok()
    }

    /// Checks the signature against the certificate that it carries, and that against `authority` when given.
    ///
    /// # Errors
    /// [`SignatureError`]; without `authority`, who made the statement is not known, only that nobody changed it.
    pub fn verify(&self, authority: Option<&CertificateDer<'static>>) -> Result<Verified, SignatureError> {
        let malformed = |part| move || SignatureError::Malformed { part };
        let header = self.decoded(&self.protected).ok_or_else(malformed("the header"))?;
        let header: Value = serde_json::from_slice(&header).map_err(|_| malformed("the header")())?;
        if header["alg"] != "ES256" {
            return Err(malformed("the algorithm")());
        }
        let certificate = header["x5c"][0].as_str().and_then(|text| STANDARD.decode(text).ok());
        let certificate = CertificateDer::from(certificate.ok_or_else(malformed("the certificate"))?);
        let (_, parsed) =
            x509_parser::parse_x509_certificate(&certificate).map_err(|_| malformed("the certificate")())?;
        let signature = self.decoded(&self.signature).ok_or_else(malformed("the signature"))?;
        let input = format!("{}.{}", self.protected, self.payload);
        let key = &parsed.public_key().subject_public_key.data;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key)
            .verify(input.as_bytes(), &signature)
            .map_err(|_| SignatureError::Wrong)?;
        if let Some(authority) = authority {
            check_caller(authority, &certificate).map_err(SignatureError::Stranger)?;
        }
        let payload = self.statement().ok_or_else(malformed("the statement"))?;
        Ok(Verified { payload, signer: hexadecimal(digest(&SHA256, &certificate).as_ref()) })
    }

    fn decoded(&self, member: &str) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(member).ok()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::pem::PemObject;

    use super::super::Pki;
    use super::*;

    fn authority(pki: &Pki) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap()
    }

    #[test]
    fn statements_are_believed_as_they_were_signed_and_only_from_the_authority() {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::open_or_create(&directory.path().join("one")).unwrap();
        let other = Pki::open_or_create(&directory.path().join("other")).unwrap();
        let statement = json!({"method": "overwrite", "serial": "ß"});
        let signed = pki.sign(&statement).unwrap();
        let verified = signed.verify(Some(&authority(&pki))).unwrap();
        assert_eq!(verified.payload, statement);
        assert_eq!(verified.signer.len(), 64);
        assert!(matches!(signed.verify(Some(&authority(&other))), Err(SignatureError::Stranger(_))));

        let forged = URL_SAFE_NO_PAD.encode(json!({"method": "purge"}).to_string());
        let changed = Signed { payload: forged, ..signed.clone() };
        assert!(matches!(changed.verify(None), Err(SignatureError::Wrong)));
        // The other conductor's certificate does not fit the signature, its header does not fit what was signed.
        let swapped = Signed { protected: other.sign(&statement).unwrap().protected, ..signed.clone() };
        assert!(matches!(swapped.verify(None), Err(SignatureError::Wrong)));
        let none = URL_SAFE_NO_PAD.encode(json!({"alg": "none"}).to_string());
        let unsigned = Signed { protected: none, signature: String::new(), ..signed };
        assert!(matches!(unsigned.verify(None), Err(SignatureError::Malformed { .. })));
    }
}
