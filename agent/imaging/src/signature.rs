use std::fmt;

use minisign_verify::{Error, PublicKey, StreamVerifier};

/// Largest signature file in bytes: comments may be long, but not that long.
pub const MAX_SIGNATURE_BYTES: usize = 16 << 10;

/// A signature that an image as served must have, by one of the keys that the operator pinned.
pub struct Signature {
    key: PublicKey,
    signature: minisign_verify::Signature,
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature").field("key", &self.key).finish_non_exhaustive()
    }
}

/// What the signer said about the image; covered by the signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedComment(pub String);

/// Why an image is not vouched for by a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("no key is pinned that could verify a signature")]
    NoKey,
    #[error("pinned key {number} is no minisign public key")]
    Key {
        /// From 1 on.
        number: usize,
    },
    #[error("not a minisign signature")]
    Format,
    #[error("the signature is of minisign's legacy form; sign again with the pre-hashed one")]
    Legacy,
    #[error("the signature is by none of the {pinned} pinned keys")]
    UnknownKey { pinned: usize },
    /// Only known when the last byte of the image was seen.
    #[error("the signature does not belong to this image, or its comment was changed")]
    Mismatch,
}

impl Signature {
    /// Takes the text of a signature file and the keys that may have made it, each as the base64 line or as the
    /// whole of a public key file.
    ///
    /// # Errors
    ///
    /// [`SignatureError`]; keys are judged even where another one made the signature.
    pub fn new(keys: &[impl AsRef<str>], text: &str) -> Result<Self, SignatureError> {
        let keys = parse_keys(keys)?;
        if keys.is_empty() {
            return Err(SignatureError::NoKey);
        }
        if text.len() > MAX_SIGNATURE_BYTES {
            return Err(SignatureError::Format);
        }
        let signature =
            minisign_verify::Signature::decode(text.trim_start()).map_err(|_| SignatureError::Format)?;
        let pinned = keys.len();
        for key in keys {
            match key.verify_stream(&signature) {
                Ok(_) => return Ok(Self { key, signature }),
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::UnsupportedLegacyMode) => return Err(SignatureError::Legacy),
                Err(_) => return Err(SignatureError::Format),
            }
        }
        Err(SignatureError::UnknownKey { pinned })
    }

    /// Begins to look at the image's bytes as served.
    pub fn hasher(&self) -> SignatureHasher<'_> {
        let verifier = self.key.verify_stream(&self.signature).expect("these two were found to fit");
        SignatureHasher { signature: self, verifier }
    }
}

/// Whether texts are keys that [`Signature::new`] takes.
///
/// # Errors
///
/// [`SignatureError::Key`].
pub fn check_signature_keys(keys: &[impl AsRef<str>]) -> Result<(), SignatureError> {
    parse_keys(keys).map(drop)
}

fn parse_keys<K: AsRef<str>>(keys: &[K]) -> Result<Vec<PublicKey>, SignatureError> {
    let parse = |(index, text): (usize, &K)| {
        let text = text.as_ref().trim();
        let key = if text.contains('\n') { PublicKey::decode(text) } else { PublicKey::from_base64(text) };
        key.map_err(|_| SignatureError::Key { number: index + 1 })
    };
    keys.iter().enumerate().map(parse).collect()
}

/// A signature being verified; takes the image in order.
pub struct SignatureHasher<'s> {
    signature: &'s Signature,
    verifier: StreamVerifier<'s>,
}

impl fmt::Debug for SignatureHasher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignatureHasher").field("signature", self.signature).finish_non_exhaustive()
    }
}

impl SignatureHasher<'_> {
    pub fn update(&mut self, bytes: &[u8]) {
        self.verifier.update(bytes);
    }

    /// # Errors
    ///
    /// [`SignatureError::Mismatch`].
    pub fn finish(mut self) -> Result<TrustedComment, SignatureError> {
        self.verifier.finalize().map_err(|_| SignatureError::Mismatch)?;
        Ok(TrustedComment(self.signature.signature.trusted_comment().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    const IMAGE: &[u8] = b"the whole image";

    fn pair() -> KeyPair {
        KeyPair::generate_unencrypted_keypair().unwrap()
    }

    fn sign(pair: &KeyPair) -> String {
        minisign::sign(None, &pair.sk, Cursor::new(IMAGE), Some("debian 12"), None).unwrap().into_string()
    }

    fn verify(signature: &Signature, image: &[u8]) -> Result<TrustedComment, SignatureError> {
        let mut hasher = signature.hasher();
        for piece in image.chunks(4) {
            hasher.update(piece);
        }
        hasher.finish()
    }

    #[test]
    fn what_a_pinned_key_signed_is_accepted_and_nothing_else() {
        let (ours, other) = (pair(), pair());
        let keys = [other.pk.to_base64(), ours.pk.to_box().unwrap().into_string()];
        let text = sign(&ours);
        let signature = Signature::new(&keys, &text).unwrap();
        assert_eq!(verify(&signature, IMAGE), Ok(TrustedComment("debian 12".into())));
        assert_eq!(verify(&signature, b"the whole imagE"), Err(SignatureError::Mismatch));
        assert_eq!(verify(&signature, &IMAGE[..IMAGE.len() - 1]), Err(SignatureError::Mismatch));
        assert_eq!(verify(&signature, b""), Err(SignatureError::Mismatch));
        let forged = Signature::new(&keys, &text.replace("debian 12", "debian 13")).unwrap();
        assert_eq!(verify(&forged, IMAGE), Err(SignatureError::Mismatch));
        let stranger = Signature::new(&keys[..1], &text).unwrap_err();
        assert_eq!(stranger, SignatureError::UnknownKey { pinned: 1 });
        assert_eq!(Signature::new(&[] as &[&str], &text).unwrap_err(), SignatureError::NoKey);
    }

    #[test]
    fn a_key_that_borrows_the_name_of_a_pinned_one_vouches_for_nothing() {
        let (ours, thief) = (pair(), pair());
        let key = ours.pk.to_base64();
        // The eight bytes after the algorithm are the key's id, in key and signature alike.
        let own = base64_of(&key);
        let text = sign(&thief);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut bytes = base64_of(&lines[1]);
        bytes[2..10].copy_from_slice(&own[2..10]);
        lines[1] = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        let signature = Signature::new(&[key], &lines.join("\n")).unwrap();
        assert_eq!(verify(&signature, IMAGE), Err(SignatureError::Mismatch));
    }

    fn base64_of(text: &str) -> Vec<u8> {
        base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap()
    }

    #[test]
    fn legacy_signatures_and_what_is_none_are_refused_before_a_byte_is_read() {
        let ours = pair();
        let keys = [ours.pk.to_base64()];
        let text = sign(&ours);
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut bytes = base64_of(&lines[1]);
        bytes[1] = b'd';
        lines[1] = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, bytes);
        assert_eq!(Signature::new(&keys, &lines.join("\n")).unwrap_err(), SignatureError::Legacy);
        for text in ["", "untrusted comment: x", "a\nb\nc\nd", &text[..text.len() / 2]] {
            assert_eq!(Signature::new(&keys, text).unwrap_err(), SignatureError::Format, "{text}");
        }
        assert_eq!(check_signature_keys(&keys), Ok(()));
        let wrong = [keys[0].as_str(), "RWQ"];
        assert_eq!(check_signature_keys(&wrong), Err(SignatureError::Key { number: 2 }));
        assert_eq!(Signature::new(&wrong, &text).unwrap_err(), SignatureError::Key { number: 2 });
    }
}
