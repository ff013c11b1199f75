//! Comparing secrets.

use std::sync::OnceLock;

use ring::hmac;
use ring::rand::SystemRandom;

/// Whether two secrets are equal, in a time that depends on neither: both are hashed with a key of this process, and
/// the hashes are compared in constant time.
pub(super) fn equal(one: &str, other: &str) -> bool {
    static KEY: OnceLock<hmac::Key> = OnceLock::new();
    let key = KEY.get_or_init(|| {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new()).expect("the system has random numbers")
    });
    hmac::verify(key, one.as_bytes(), hmac::sign(key, other.as_bytes()).as_ref()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::equal;

    #[test]
    fn only_equal_secrets_are_equal() {
        assert!(equal("abc", "abc") && equal("", ""));
        for other in ["", "ab", "abcd", "abd", "Abc", "abc\0"] {
            assert!(!equal(other, "abc"), "{other:?}");
        }
    }
}
