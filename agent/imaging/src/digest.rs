use std::fmt;

use ring::digest::{Algorithm, Context, SHA256, SHA384, SHA512};

/// Digests that may vouch for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl DigestAlgorithm {
    const ALL: [Self; 3] = [Self::Sha256, Self::Sha384, Self::Sha512];

    /// Name as in `os_hash_algo`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    fn implementation(self) -> &'static Algorithm {
        match self {
            Self::Sha256 => &SHA256,
            Self::Sha384 => &SHA384,
            Self::Sha512 => &SHA512,
        }
    }

    fn hex_digits(self) -> usize {
        2 * self.implementation().output_len()
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the bytes as served must amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedDigest {
    pub algorithm: DigestAlgorithm,
    /// Hexadecimal, in any case.
    pub hex: String,
}

/// Why a digest cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    #[error("digest algorithm {0:?} is not supported (sha256, sha384, sha512)")]
    Algorithm(String),
    #[error("{0:?} is not hexadecimal")]
    NotHexadecimal(String),
    #[error("a digest of {digits} hexadecimal digits is none of sha256, sha384, sha512")]
    Length { digits: usize },
    #[error("a {algorithm} digest has {expected} hexadecimal digits, not {digits}")]
    WrongLength { algorithm: DigestAlgorithm, expected: usize, digits: usize },
}

impl ExpectedDigest {
    /// Takes `os_hash_algo` and `os_hash_value`, or a bare checksum whose length tells the algorithm.
    ///
    /// # Errors
    ///
    /// [`DigestError`], also where the length does not fit the algorithm.
    pub fn parse(algorithm: Option<&str>, value: &str) -> Result<Self, DigestError> {
        let hex = value.trim();
        if hex.is_empty() || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(DigestError::NotHexadecimal(hex.chars().take(200).collect()));
        }
        let digits = hex.len();
        let algorithm = match algorithm.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) => DigestAlgorithm::ALL
                .into_iter()
                .find(|known| known.name().eq_ignore_ascii_case(&name.replace('-', "")))
                .ok_or_else(|| DigestError::Algorithm(name.to_owned()))?,
            None => DigestAlgorithm::ALL
                .into_iter()
                .find(|known| known.hex_digits() == digits)
                .ok_or(DigestError::Length { digits })?,
        };
        if algorithm.hex_digits() != digits {
            let expected = algorithm.hex_digits();
            return Err(DigestError::WrongLength { algorithm, expected, digits });
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }

    pub(crate) fn matches(&self, found: &str) -> bool {
        self.hex.trim().eq_ignore_ascii_case(found)
    }
}

/// A digest in the making. `ring` is at least as fast as RustCrypto's hashes with SHA extensions, and about twice as
/// fast without.
pub(crate) struct Hasher(Context);

impl Hasher {
    pub(crate) fn new(algorithm: DigestAlgorithm) -> Self {
        Self(Context::new(algorithm.implementation()))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Lower-case hexadecimal.
    pub(crate) fn finish(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn digests_are_taken_in_any_case_and_spelling() {
        let upper = EMPTY_SHA256.to_uppercase();
        for algorithm in [None, Some(""), Some("sha256"), Some("SHA-256")] {
            let expected = ExpectedDigest::parse(algorithm, &format!(" {upper}\n")).unwrap();
            assert_eq!(expected.algorithm, DigestAlgorithm::Sha256);
            assert!(expected.matches(&Hasher::new(expected.algorithm).finish()));
        }
        assert_eq!(ExpectedDigest::parse(None, &"a".repeat(128)).unwrap().algorithm, DigestAlgorithm::Sha512);
    }

    #[test]
    fn digests_that_cannot_be_right_are_refused() {
        assert_eq!(
            ExpectedDigest::parse(Some("md5"), &"a".repeat(32)),
            Err(DigestError::Algorithm("md5".into()))
        );
        assert_eq!(ExpectedDigest::parse(None, &"a".repeat(32)), Err(DigestError::Length { digits: 32 }));
        assert!(matches!(ExpectedDigest::parse(None, ""), Err(DigestError::NotHexadecimal(_))));
        assert!(matches!(ExpectedDigest::parse(None, &"g".repeat(64)), Err(DigestError::NotHexadecimal(_))));
        let error = ExpectedDigest::parse(Some("sha512"), EMPTY_SHA256).unwrap_err();
        assert_eq!(error.to_string(), "a sha512 digest has 128 hexadecimal digits, not 64");
    }
}
