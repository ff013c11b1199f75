//! Checksum files.

use tacit_fetch::find_checksum;

/// The name of a file, a line feed, and a checksum file.
///
/// # Panics
///
/// When a digest comes out that the text does not have.
pub fn checksum(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((name, text)) = text.split_once('\n') else { return };
    let Some(digest) = find_checksum(text, name) else { return };
    assert!(digest.len() >= 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digest:?}");
    assert!(text.to_ascii_lowercase().contains(&digest), "{digest} is not in the text");
    assert_eq!(digest, digest.to_ascii_lowercase());
}
