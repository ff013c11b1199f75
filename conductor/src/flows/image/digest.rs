//! Digests that may vouch for an image (IPA contract §8.3).

use serde_json::{Map, Value};

use super::fault::{InfoError, text};
use super::origin::is_url;

/// Names as `os_hash_algo` has them, and the hexadecimal digits of each.
const ALGORITHMS: [(&str, usize); 8] = [
    ("sha256", 64),
    ("sha384", 96),
    ("sha512", 128),
    ("sha3_224", 56),
    ("sha3_256", 64),
    ("sha3_384", 96),
    ("sha3_512", 128),
    (MD5, 32),
];
const MD5: &str = "md5";
const KNOWN: &str = "sha256, sha384, sha512, sha3_224, sha3_256, sha3_384 or sha3_512";
const MD5_REFUSED: &str = "is MD5, which is refused: give sha256 or sha512 (or set driver_info.md5_enabled)";

/// An algorithm by its name in any case, with `-`, `_` or nothing between the parts.
fn algorithm(name: &str) -> Option<(&'static str, usize)> {
    let plain = |name: &str| name.replace(['-', '_'], "").to_ascii_lowercase();
    ALGORITHMS.into_iter().find(|(known, _)| plain(known) == plain(name.trim()))
}

/// The digest keys of `image_info`, none where nothing is given. `os_hash_*` wins over `image_checksum`, as in Ironic.
pub(super) fn digest(
    info: &Map<String, Value>,
    md5_enabled: bool,
) -> Result<Vec<(&'static str, String)>, InfoError> {
    const ALGO: &str = "image_os_hash_algo";
    const VALUE: &str = "image_os_hash_value";
    match (text(info, ALGO)?, text(info, VALUE)?) {
        (Some(name), Some(value)) => {
            let (name, digits) =
                algorithm(name).ok_or_else(|| InfoError::instance(ALGO, format!("{name} is not {KNOWN}")))?;
            if name == MD5 && !md5_enabled {
                return Err(InfoError::instance(ALGO, MD5_REFUSED));
            }
            if !is_url(value) && !is_hex(value, digits) {
                let reason = format!("is not {digits} hexadecimal digits, as {name} has");
                return Err(InfoError::instance(VALUE, reason));
            }
            return Ok(vec![("os_hash_algo", name.into()), ("os_hash_value", value.into())]);
        }
        (None, None) => {}
        (Some(_), None) => {
            return Err(InfoError::instance(VALUE, "is missing; it and image_os_hash_algo belong together"));
        }
        (None, Some(_)) => {
            return Err(InfoError::instance(ALGO, "is missing; it and image_os_hash_value belong together"));
        }
    }
    const CHECKSUM: &str = "image_checksum";
    let Some(checksum) = text(info, CHECKSUM)? else { return Ok(Vec::new()) };
    if is_url(checksum) {
        return Ok(vec![("checksum", checksum.into())]);
    }
    let (name, value) =
        digest_alone(checksum, md5_enabled).map_err(|reason| InfoError::instance(CHECKSUM, reason))?;
    Ok(vec![("checksum", value.into()), ("os_hash_algo", name.into()), ("os_hash_value", value.into())])
}

/// A digest that stands alone: `ALGORITHM:DIGITS`, or digits whose number tells the algorithm. SHA-3 has to be named.
pub(super) fn digest_alone(digest: &str, md5_enabled: bool) -> Result<(&'static str, &str), String> {
    let (known, value) = match digest.split_once(':') {
        Some((name, value)) => (algorithm(name), value.trim()),
        None => (
            ALGORITHMS
                .into_iter()
                .find(|(name, digits)| *digits == digest.len() && !name.starts_with("sha3_")),
            digest,
        ),
    };
    let Some((name, digits)) = known else {
        return Err(
            "is neither sha256, sha384, sha512, a named algorithm's digest (sha3_256:…) nor a URL".into()
        );
    };
    if name == MD5 && !md5_enabled {
        return Err(MD5_REFUSED.into());
    }
    if !is_hex(value, digits) {
        return Err(format!("is not {digits} hexadecimal digits, as {name} has"));
    }
    Ok((name, value))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(info: &Value, md5_enabled: bool) -> Result<Vec<(&'static str, String)>, String> {
        digest(info.as_object().unwrap(), md5_enabled).map_err(String::from)
    }

    #[test]
    fn names_are_taken_as_ironic_and_people_spell_them() {
        for (spelled, name, digits) in [
            ("sha512", "sha512", 128),
            ("SHA-512", "sha512", 128),
            ("sha384", "sha384", 96),
            ("sha3_512", "sha3_512", 128),
            ("SHA3-256", "sha3_256", 64),
        ] {
            let value = "A".repeat(digits);
            let info = json!({"image_os_hash_algo": spelled, "image_os_hash_value": value});
            assert_eq!(of(&info, false).unwrap(), [("os_hash_algo", name.into()), ("os_hash_value", value)]);
        }
        let url = json!({"image_os_hash_algo": "sha256", "image_os_hash_value": "http://h/SUMS"});
        assert_eq!(of(&url, false).unwrap()[1].1, "http://h/SUMS");
    }

    #[test]
    fn checksums_alone() {
        let name =
            |checksum: &str| of(&json!({"image_checksum": checksum}), false).map(|keys| keys[1].1.clone());
        assert_eq!(name(&"a".repeat(64)).unwrap(), "sha256");
        assert_eq!(name(&"AB".repeat(64)).unwrap(), "sha512");
        assert_eq!(name(&"a".repeat(96)).unwrap(), "sha384");
        assert_eq!(name(&format!("sha3-256:{}", "a".repeat(64))).unwrap(), "sha3_256");
        for wrong in ["a".repeat(40), "g".repeat(64), format!("sha1:{}", "a".repeat(40)), "sha512:ab".into()]
        {
            assert!(name(&wrong).unwrap_err().starts_with("instance_info.image_checksum"), "{wrong}");
        }
        assert_eq!(
            of(&json!({"image_checksum": "http://h/SUMS"}), false).unwrap(),
            [("checksum", "http://h/SUMS".into())]
        );
        assert_eq!(of(&json!({"image_checksum": null}), false).unwrap(), []);
        assert!(of(&json!({"image_checksum": 5}), false).is_err());
    }

    #[test]
    fn md5_only_where_the_operator_enabled_it() {
        let md5 = "d".repeat(32);
        for info in
            [json!({"image_checksum": md5}), json!({"image_os_hash_algo": "md5", "image_os_hash_value": md5})]
        {
            let error = of(&info, false).unwrap_err();
            assert!(error.contains("MD5"), "{error}");
            of(&info, true).unwrap();
        }
    }

    #[test]
    fn halves_are_refused() {
        for half in [json!({"image_os_hash_algo": "sha512"}), json!({"image_os_hash_value": "ab"})] {
            assert!(of(&half, false).unwrap_err().contains("belong together"));
        }
        let short = json!({"image_os_hash_algo": "sha512", "image_os_hash_value": "ab"});
        assert!(of(&short, false).unwrap_err().contains("128"));
    }
}
