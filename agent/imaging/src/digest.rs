use std::fmt;

use ring::digest::{Context, SHA256};
use sha3::digest::DynDigest;
use tacit_digest::{Sha384, Sha512};

/// Digests that may vouch for an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// Forgeable; only for those who enabled it, see [`Md5`].
    Md5,
    Sha256,
    Sha384,
    Sha512,
    Sha3_224,
    Sha3_256,
    Sha3_384,
    Sha3_512,
}

impl DigestAlgorithm {
    const ALL: [Self; 8] = [
        Self::Md5,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::Sha3_224,
        Self::Sha3_256,
        Self::Sha3_384,
        Self::Sha3_512,
    ];

    /// Name as in `os_hash_algo`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha3_224 => "sha3_224",
            Self::Sha3_256 => "sha3_256",
            Self::Sha3_384 => "sha3_384",
            Self::Sha3_512 => "sha3_512",
        }
    }

    /// By its name in any case, with `-`, `_` or nothing between the parts: `SHA-512`, `sha3_512`, `sha3-512`.
    pub fn from_name(name: &str) -> Option<Self> {
        let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
        let wanted = plain(name.trim());
        Self::ALL.into_iter().find(|known| plain(known.name()) == wanted)
    }

    /// Digits of its digests in hexadecimal.
    pub fn hex_digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha3_224 => 56,
            Self::Sha256 | Self::Sha3_256 => 64,
            Self::Sha384 | Self::Sha3_384 => 96,
            Self::Sha512 | Self::Sha3_512 => 128,
        }
    }

    /// What a bare digest of so many digits is taken for: SHA-3 has to be named.
    fn of_length(digits: usize) -> Option<Self> {
        [Self::Md5, Self::Sha256, Self::Sha384, Self::Sha512]
            .into_iter()
            .find(|known| known.hex_digits() == digits)
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether an MD5 digest may vouch for an image. Who can change the image can forge it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Md5 {
    #[default]
    Refused,
    /// The operator of this node asked for it.
    Enabled,
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
    #[error("digest algorithm {0:?} is not supported (sha256, sha384, sha512, sha3_224 to sha3_512)")]
    Algorithm(String),
    #[error("MD5 vouches for nothing; it is only accepted where md5_enabled says so for the node")]
    Md5Refused,
    #[error("{0:?} is not hexadecimal")]
    NotHexadecimal(String),
    #[error("a digest of {digits} hexadecimal digits is none of sha256, sha384, sha512; SHA-3 must be named")]
    Length { digits: usize },
    #[error("a {algorithm} digest has {expected} hexadecimal digits, not {digits}")]
    WrongLength { algorithm: DigestAlgorithm, expected: usize, digits: usize },
    #[error("the digest is said to be {named} and begins with {prefix}:")]
    Contradiction { named: DigestAlgorithm, prefix: String },
}

impl ExpectedDigest {
    /// Takes `os_hash_algo` and `os_hash_value`, or a checksum alone: `sha3-256:HEX`, or bare digits whose number
    /// tells the algorithm (IPA contract §8.3).
    ///
    /// # Errors
    ///
    /// [`DigestError`], also where the length does not fit the algorithm.
    pub fn parse(algorithm: Option<&str>, value: &str, md5: Md5) -> Result<Self, DigestError> {
        let named = |name: &str| {
            DigestAlgorithm::from_name(name)
                .ok_or_else(|| DigestError::Algorithm(name.chars().take(50).collect()))
        };
        let (prefix, hex) = match value.split_once(':') {
            Some((prefix, hex)) => (Some(prefix), hex.trim()),
            None => (None, value.trim()),
        };
        if hex.is_empty() || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(DigestError::NotHexadecimal(value.trim().chars().take(200).collect()));
        }
        let digits = hex.len();
        let given = algorithm.map(str::trim).filter(|name| !name.is_empty()).map(named).transpose()?;
        let algorithm = match (given, prefix) {
            (Some(given), Some(prefix)) if DigestAlgorithm::from_name(prefix) != Some(given) => {
                let prefix = prefix.chars().take(50).collect();
                return Err(DigestError::Contradiction { named: given, prefix });
            }
            (Some(given), _) => given,
            (None, Some(prefix)) => named(prefix)?,
            (None, None) => DigestAlgorithm::of_length(digits).ok_or(DigestError::Length { digits })?,
        };
        if algorithm == DigestAlgorithm::Md5 && md5 == Md5::Refused {
            return Err(DigestError::Md5Refused);
        }
        let expected = algorithm.hex_digits();
        if expected != digits {
            return Err(DigestError::WrongLength { algorithm, expected, digits });
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }

    /// Whether `bytes` are what the digest says: for documents that are in memory as a whole.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let mut hasher = Hasher::new(self.algorithm);
        hasher.update(bytes);
        self.matches(&hasher.finish())
    }

    pub(crate) fn matches(&self, found: &str) -> bool {
        self.hex.trim().eq_ignore_ascii_case(found)
    }
}

/// A digest in the making. `ring`'s SHA-256 is at least as fast as RustCrypto's with SHA extensions, and about twice as
/// fast without; `tacit_digest`'s SHA-512 and SHA-384 are faster than both (docs/adr/0012).
pub(crate) struct Hasher(Implementation);

enum Implementation {
    Sha256(Box<Context>),
    Sha384(Sha384),
    Sha512(Sha512),
    Other(Box<dyn DynDigest + Send>),
}

impl Hasher {
    pub(crate) fn new(algorithm: DigestAlgorithm) -> Self {
        use DigestAlgorithm as A;
        use Implementation::Other;
        Self(match algorithm {
            A::Sha256 => Implementation::Sha256(Box::new(Context::new(&SHA256))),
            A::Sha384 => Implementation::Sha384(Sha384::new()),
            A::Sha512 => Implementation::Sha512(Sha512::new()),
            A::Md5 => Other(Box::<md5::Md5>::default()),
            A::Sha3_224 => Other(Box::<sha3::Sha3_224>::default()),
            A::Sha3_256 => Other(Box::<sha3::Sha3_256>::default()),
            A::Sha3_384 => Other(Box::<sha3::Sha3_384>::default()),
            A::Sha3_512 => Other(Box::<sha3::Sha3_512>::default()),
        })
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            Implementation::Sha256(context) => context.update(bytes),
            Implementation::Sha384(digest) => digest.update(bytes),
            Implementation::Sha512(digest) => digest.update(bytes),
            Implementation::Other(digest) => digest.update(bytes),
        }
    }

    /// Lower-case hexadecimal.
    pub(crate) fn finish(self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self.0 {
            Implementation::Sha256(context) => hex(context.finish().as_ref()),
            Implementation::Sha384(digest) => hex(&digest.finish()),
            Implementation::Sha512(digest) => hex(&digest.finish()),
            Implementation::Other(digest) => hex(&digest.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(algorithm: Option<&str>, value: &str) -> Result<ExpectedDigest, DigestError> {
        ExpectedDigest::parse(algorithm, value, Md5::Refused)
    }

    #[test]
    fn digests_are_taken_in_any_case_and_spelling() {
        let upper = EMPTY_SHA256.to_uppercase();
        for algorithm in [None, Some(""), Some("sha256"), Some("SHA-256"), Some("sha_256")] {
            let expected = parse(algorithm, &format!(" {upper}\n")).unwrap();
            assert_eq!(expected.algorithm, DigestAlgorithm::Sha256);
            assert!(expected.is_of(b"") && !expected.is_of(b"x"));
        }
        for algorithm in ["sha3_512", "SHA3-512", "sha3-512", "SHA-3-512"] {
            let expected = parse(Some(algorithm), &"a".repeat(128)).unwrap();
            assert_eq!(expected.algorithm, DigestAlgorithm::Sha3_512);
        }
    }

    #[test]
    fn a_prefix_names_the_algorithm() {
        assert_eq!(
            parse(None, &format!("sha3-256:{EMPTY_SHA256}")).unwrap().algorithm,
            DigestAlgorithm::Sha3_256
        );
        assert_eq!(parse(Some("sha256"), &format!("SHA256:{EMPTY_SHA256}")).unwrap().hex, EMPTY_SHA256);
        assert!(matches!(
            parse(Some("sha256"), &format!("sha3-256:{EMPTY_SHA256}")),
            Err(DigestError::Contradiction { .. })
        ));
        assert_eq!(parse(None, "sha1:abcd"), Err(DigestError::Algorithm("sha1".into())));
    }

    #[test]
    fn the_length_of_a_bare_digest_tells_sha2_and_never_sha3() {
        for (digits, algorithm) in
            [(64, DigestAlgorithm::Sha256), (96, DigestAlgorithm::Sha384), (128, DigestAlgorithm::Sha512)]
        {
            assert_eq!(parse(None, &"a".repeat(digits)).unwrap().algorithm, algorithm);
        }
        assert_eq!(parse(None, &"a".repeat(56)), Err(DigestError::Length { digits: 56 }));
    }

    #[test]
    fn md5_counts_only_where_it_was_enabled() {
        let digits = "d41d8cd98f00b204e9800998ecf8427e";
        for algorithm in [None, Some("md5"), Some("MD-5")] {
            assert_eq!(parse(algorithm, digits), Err(DigestError::Md5Refused));
            let expected = ExpectedDigest::parse(algorithm, digits, Md5::Enabled).unwrap();
            assert!(expected.matches(&Hasher::new(expected.algorithm).finish()));
        }
    }

    #[test]
    fn digests_that_cannot_be_right_are_refused() {
        for name in ["sha1", "sha224", "sha512_256", "blake2b", "shake_128", "sha3"] {
            assert_eq!(parse(Some(name), &"a".repeat(64)), Err(DigestError::Algorithm(name.into())));
        }
        for value in ["", ":", "sha256:", "  "] {
            assert!(matches!(parse(None, value), Err(DigestError::NotHexadecimal(_))), "{value}");
        }
        assert!(matches!(parse(None, &"g".repeat(64)), Err(DigestError::NotHexadecimal(_))));
        let error = parse(Some("sha512"), EMPTY_SHA256).unwrap_err();
        assert_eq!(error.to_string(), "a sha512 digest has 128 hexadecimal digits, not 64");
    }

    /// The examples of FIPS 202, RFC 1321 and FIPS 180-4 for `abc`.
    #[test]
    fn every_algorithm_is_what_its_name_says() {
        for (algorithm, digest) in [
            (DigestAlgorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (DigestAlgorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                DigestAlgorithm::Sha384,
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
                 8086072ba1e7cc2358baeca134c825a7",
            ),
            (
                DigestAlgorithm::Sha512,
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                 2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
            ),
            (DigestAlgorithm::Sha3_224, "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
            (DigestAlgorithm::Sha3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
            (
                DigestAlgorithm::Sha3_384,
                "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2\
                 98d88cea927ac7f539f1edf228376d25",
            ),
            (
                DigestAlgorithm::Sha3_512,
                "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e\
                 10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
            ),
        ] {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"a");
            hasher.update(b"bc");
            assert_eq!(hasher.finish(), digest, "{algorithm}");
            assert_eq!(digest.len(), algorithm.hex_digits());
        }
    }
}
