//! Digests that an operator writes down for a file.

use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// What the digest of a file has to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checksum {
    algorithm: &'static Algorithm,
    value: Vec<u8>,
}

impl Checksum {
    /// What [`Checksum::parse`] takes, for messages.
    pub(crate) const FORM: &str =
        "a SHA-256, SHA-384 or SHA-512 in hexadecimal digits, with or without the name and a colon before it";

    /// `sha256:<64 digits>` and its like; without the name, the number of digits tells the algorithm. `None` for
    /// anything else, weaker digests included.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (named, digits) =
            text.split_once(':').map_or((None, text), |(name, digits)| (Some(name), digits));
        let (name, algorithm) = match digits.len() {
            64 => ("sha256", &SHA256),
            96 => ("sha384", &SHA384),
            128 => ("sha512", &SHA512),
            _ => return None,
        };
        let value = |digit: u8| char::from(digit).to_digit(16);
        let pairs = digits.as_bytes().chunks_exact(2);
        let bytes = pairs.map(|pair| Some((value(pair[0])? << 4 | value(pair[1])?) as u8));
        let value = bytes.collect::<Option<_>>()?;
        named.is_none_or(|named| named.eq_ignore_ascii_case(name)).then_some(Self { algorithm, value })
    }

    pub(crate) fn is_of(&self, bytes: &[u8]) -> bool {
        digest(self.algorithm, bytes).as_ref() == self.value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of "abc" (FIPS 180-4's example).
    const SHA256_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const SHA384_ABC: &str = "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed\
                              8086072ba1e7cc2358baeca134c825a7";

    #[test]
    fn digests_are_told_by_name_or_length() {
        for text in [
            SHA256_ABC.to_owned(),
            SHA256_ABC.to_uppercase(),
            format!(" sha256:{SHA256_ABC}\n"),
            format!("SHA256:{SHA256_ABC}"),
            format!("sha384:{SHA384_ABC}"),
        ] {
            let checksum = Checksum::parse(&text).unwrap();
            assert!(checksum.is_of(b"abc") && !checksum.is_of(b"abd"), "{text}");
        }
        assert_eq!(Checksum::parse(&"0".repeat(128)).unwrap().value.len(), 64);
    }

    #[test]
    fn what_is_weak_or_no_digest_is_refused() {
        for text in [
            String::new(),
            "ab".to_owned(),
            "a".repeat(32),
            "a".repeat(40),
            "z".repeat(64),
            "ä".repeat(32),
            format!("md5:{SHA256_ABC}"),
            format!("sha512:{SHA256_ABC}"),
            format!("sha256:{SHA384_ABC}"),
            format!("sha256:sha256:{SHA256_ABC}"),
        ] {
            assert_eq!(Checksum::parse(&text), None, "{text}");
        }
    }
}
