//! What else may be asked of an image: a signature, a block map, how to write and to verify.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::digest::digest_alone;
use super::fault::{InfoError, text};
use super::origin::{is_url, origin};
use crate::images::Origin;

/// Keys of `image_info`, and the URLs among them with their origins.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) keys: Vec<(&'static str, String)>,
    pub(super) urls: Vec<(String, Origin)>,
    /// Whether one of them vouches for the image.
    pub(super) vouched: bool,
}

pub(super) fn options(info: &Map<String, Value>, image_dir: &Path) -> Result<Options, InfoError> {
    let mut options = Options::default();
    options.signature(info, image_dir)?;
    options.block_map(info, image_dir)?;
    for (key, values) in [("write_mode", ["all", "changed"]), ("verify", ["revealed", "full"])] {
        let Some(value) = text(info, key)? else { continue };
        if !values.contains(&value) {
            return Err(InfoError::instance(
                key,
                format!("{value:?} is neither {} nor {}", values[0], values[1]),
            ));
        }
        options.keys.push((key, value.to_owned()));
    }
    Ok(options)
}

impl Options {
    fn signature(&mut self, info: &Map<String, Value>, image_dir: &Path) -> Result<(), InfoError> {
        const KEY: &str = "image_signature";
        let Some(given) = text(info, KEY)? else { return Ok(()) };
        if is_url(given) || given.starts_with("file://") {
            self.url(KEY, given, "signature/", image_dir)?;
        } else {
            check_signature(given).map_err(|reason| InfoError::instance(KEY, reason))?;
            self.keys.push((KEY, given.to_owned()));
        }
        self.vouched = true;
        Ok(())
    }

    fn block_map(&mut self, info: &Map<String, Value>, image_dir: &Path) -> Result<(), InfoError> {
        const URL: &str = "bmap_url";
        const CHECKSUM: &str = "bmap_checksum";
        match (text(info, URL)?, text(info, CHECKSUM)?) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(InfoError::instance(URL, "is missing; bmap_checksum belongs to it")),
            (Some(_), None) => {
                Err(InfoError::instance(CHECKSUM, "is missing: it pins the block map, and with it the image"))
            }
            (Some(url), Some(checksum)) => {
                // Who could forge the map could choose what of the image is checked: MD5 is never enough.
                let (name, value) =
                    digest_alone(checksum, false).map_err(|reason| InfoError::instance(CHECKSUM, reason))?;
                self.url(URL, url, "bmap/", image_dir)?;
                self.keys.push((CHECKSUM, format!("{name}:{value}")));
                self.vouched = true;
                Ok(())
            }
        }
    }

    fn url(
        &mut self,
        key: &'static str,
        given: &str,
        folder: &str,
        image_dir: &Path,
    ) -> Result<(), InfoError> {
        let (url, origin) = origin(key, given, folder, image_dir)?;
        self.keys.push((key, url.clone()));
        self.urls.push((url, origin));
        Ok(())
    }
}

/// Whether a text has the form of a minisign signature, the pre-hashed one: only the agent verifies it.
fn check_signature(text: &str) -> Result<(), &'static str> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let bytes = lines.get(1).and_then(|line| STANDARD.decode(line).ok()).unwrap_or_default();
    match (lines.len(), bytes.len(), bytes.get(..2)) {
        (4.., 74, Some(b"ED")) => Ok(()),
        (4.., 74, Some(b"Ed")) => Err("is of minisign's legacy form; sign again with the pre-hashed one"),
        _ => Err("is neither a URL nor the text of a minisign signature"),
    }
}

#[cfg(test)]
pub(super) fn signature_text(algorithm: &str) -> String {
    let mut bytes = algorithm.as_bytes().to_vec();
    bytes.resize(74, 7);
    let (first, second) = (STANDARD.encode(&bytes), STANDARD.encode([7; 64]));
    format!("untrusted comment: x\n{first}\ntrusted comment: y\n{second}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(info: &Value) -> Result<Options, String> {
        options(info.as_object().unwrap(), Path::new("/nonexistent")).map_err(String::from)
    }

    #[test]
    fn signatures_by_address_and_by_text() {
        let by_address = of(&json!({"image_signature": "http://h/i.minisig"})).unwrap();
        assert_eq!(by_address.urls[0].0, "http://h/i.minisig");
        assert!(by_address.vouched);
        let by_text = of(&json!({"image_signature": signature_text("ED")})).unwrap();
        assert!(by_text.urls.is_empty() && by_text.vouched);
        let legacy = of(&json!({"image_signature": signature_text("Ed")})).unwrap_err();
        assert!(legacy.starts_with("instance_info.image_signature is of minisign's legacy form"), "{legacy}");
        for wrong in ["abc", "ftp://h/x", "a\nb\nc\nd"] {
            assert!(of(&json!({"image_signature": wrong})).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_block_map_is_pinned() {
        let sum = "a".repeat(64);
        let pinned = of(&json!({"bmap_url": "http://h/i.bmap", "bmap_checksum": sum})).unwrap();
        assert_eq!(pinned.keys[1], ("bmap_checksum", format!("sha256:{sum}")));
        assert!(pinned.vouched);
        for (wrong, key) in [
            (json!({"bmap_url": "http://h/i.bmap"}), "bmap_checksum"),
            (json!({"bmap_checksum": sum}), "bmap_url"),
            (json!({"bmap_url": "http://h/i.bmap", "bmap_checksum": "a".repeat(32)}), "bmap_checksum"),
            (json!({"bmap_url": "/i.bmap", "bmap_checksum": sum}), "bmap_url"),
        ] {
            let error = of(&wrong).unwrap_err();
            assert!(error.starts_with(&format!("instance_info.{key} ")), "{error}");
        }
    }

    #[test]
    fn modes() {
        let both = of(&json!({"write_mode": "changed", "verify": "full"})).unwrap();
        assert_eq!(both.keys, [("write_mode", "changed".into()), ("verify", "full".into())]);
        assert!(!both.vouched);
        for wrong in [json!({"write_mode": "some"}), json!({"verify": true})] {
            assert!(of(&wrong).is_err(), "{wrong}");
        }
    }
}
