//! Minisign signatures and keys.

use crate::signature::{Signature, check_signature_keys};

/// A signature file, and after a zero byte the key that is pinned.
///
/// # Panics
///
/// When a signature is accepted for two different images.
pub fn signature(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (text, key) = text.split_once('\0').unwrap_or((&text, ""));
    let Ok(signature) = Signature::new(&[key], text) else { return };
    check_signature_keys(&[key]).expect("a key that made a signature is a key");
    let accepts = |image: &[u8]| {
        let mut hasher = signature.hasher();
        hasher.update(image);
        hasher.finish().is_ok()
    };
    assert!(!(accepts(b"one image") && accepts(b"another image")), "the signature fits everything");
}
