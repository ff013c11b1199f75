//! Which digest an image must have (IPA contract §8.3).

use tacit_imaging::{DigestAlgorithm, DigestError, ExpectedDigest, Md5};
use tacit_protocol::image::ImageInfo;
use tacit_protocol::medium::ImagePolicy;

/// A digest that `image_info` asks for; `value` may be the URL of a checksum file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'i> {
    algorithm: Option<&'i str>,
    pub(super) value: &'i str,
    md5: Md5,
}

impl<'i> Asked<'i> {
    /// `os_hash_*` before `checksum`; an algorithm that is not known or not enabled counts only where there is no
    /// `checksum` to take instead. None where no digest is asked for.
    pub(super) fn of(info: &'i ImageInfo, policy: &ImagePolicy) -> Option<Self> {
        let md5 = if policy.md5_enabled { Md5::Enabled } else { Md5::Refused };
        let checksum = info.checksum.as_deref().filter(|text| !text.trim().is_empty());
        let usable = |name: &str| match DigestAlgorithm::from_name(name) {
            Some(DigestAlgorithm::Md5) => policy.md5_enabled,
            known => known.is_some(),
        };
        match (info.os_hash_algo.as_deref(), info.os_hash_value.as_deref(), checksum) {
            (Some(algorithm), Some(value), None) => Some(Self { algorithm: Some(algorithm), value, md5 }),
            (Some(algorithm), Some(value), Some(_)) if usable(algorithm) => {
                Some(Self { algorithm: Some(algorithm), value, md5 })
            }
            (_, _, checksum) => checksum.map(|value| Self { algorithm: None, value, md5 }),
        }
    }

    /// `digest` is the value itself, or what the checksum file has.
    pub(super) fn expect(&self, digest: &str) -> Result<ExpectedDigest, DigestError> {
        ExpectedDigest::parse(self.algorithm, digest, self.md5)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn info(more: &Value) -> ImageInfo {
        let mut object = json!({"id": "i", "urls": ["http://h/i"]});
        for (key, value) in more.as_object().unwrap() {
            object[key] = value.clone();
        }
        serde_json::from_value(object).unwrap()
    }

    fn expected(more: &Value, md5_enabled: bool) -> Option<Result<DigestAlgorithm, DigestError>> {
        let policy = ImagePolicy { md5_enabled, ..ImagePolicy::default() };
        let info = info(more);
        let asked = Asked::of(&info, &policy)?;
        Some(asked.expect(asked.value).map(|digest| digest.algorithm))
    }

    #[test]
    fn the_named_digest_wins_over_the_bare_one() {
        let both =
            json!({"checksum": "a".repeat(64), "os_hash_algo": "sha3-512", "os_hash_value": "B".repeat(128)});
        assert_eq!(expected(&both, false), Some(Ok(DigestAlgorithm::Sha3_512)));
        // What Glance sends: MD5 beside a good one.
        let glance =
            json!({"checksum": "a".repeat(32), "os_hash_algo": "sha512", "os_hash_value": "b".repeat(128)});
        assert_eq!(expected(&glance, false), Some(Ok(DigestAlgorithm::Sha512)));
    }

    #[test]
    fn an_algorithm_that_is_not_known_gives_way_to_the_bare_checksum() {
        let both =
            json!({"checksum": "a".repeat(64), "os_hash_algo": "blake2b", "os_hash_value": "b".repeat(128)});
        assert_eq!(expected(&both, false), Some(Ok(DigestAlgorithm::Sha256)));
        let weak =
            json!({"checksum": "a".repeat(64), "os_hash_algo": "md5", "os_hash_value": "b".repeat(32)});
        assert_eq!(expected(&weak, false), Some(Ok(DigestAlgorithm::Sha256)));
        assert_eq!(expected(&weak, true), Some(Ok(DigestAlgorithm::Md5)));
        let alone = json!({"os_hash_algo": "blake2b", "os_hash_value": "b".repeat(128)});
        assert_eq!(expected(&alone, false), Some(Err(DigestError::Algorithm("blake2b".into()))));
    }

    #[test]
    fn md5_is_taken_where_it_was_enabled() {
        let bare = json!({"checksum": "A".repeat(32)});
        assert_eq!(expected(&bare, false), Some(Err(DigestError::Md5Refused)));
        assert_eq!(expected(&bare, true), Some(Ok(DigestAlgorithm::Md5)));
    }

    #[test]
    fn lengths_tell_what_they_can() {
        for (digits, found) in [
            (64, Ok(DigestAlgorithm::Sha256)),
            (128, Ok(DigestAlgorithm::Sha512)),
            (40, Err(DigestError::Length { digits: 40 })),
        ] {
            assert_eq!(expected(&json!({"checksum": "A".repeat(digits)}), false), Some(found));
        }
        assert_eq!(expected(&json!({}), false), None);
        assert_eq!(expected(&json!({"checksum": ""}), false), None);
    }
}
