//! `image_info` in IPA's terms (IPA contract §2.2): only what IPA can do, and nothing that it would pass over in silence.

use serde_json::{Map, Value, json};

use super::digest::digest;
use super::fault::{InfoError, text};
use super::origin::is_url;
use super::policy::policy;
use crate::node::Node;

/// Keys of `instance_info` that only Tacit's agent understands.
const UNKNOWN_TO_IPA: [&str; 5] = ["image_signature", "bmap_url", "bmap_checksum", "write_mode", "verify"];
/// Endings of files that IPA would write to the disk as they are.
const COMPRESSED: [&str; 5] = [".gz", ".xz", ".zst", ".bz2", ".lz4"];

/// Whether a deployment by IPA could start.
pub(in crate::flows) fn check_for_ipa(node: &Node) -> Result<(), InfoError> {
    ipa_image(node, "check").map(drop)
}

/// Arguments of the step `write_image` for IPA. `id` names this writing of the image and no other.
pub(in crate::flows) fn ipa_image(node: &Node, id: &str) -> Result<Map<String, Value>, InfoError> {
    let info = &node.instance_info;
    let policy = policy(node)?;
    if policy.require_image_signature {
        return Err(InfoError::driver("require_image_signature", "is set, and IPA verifies no signatures"));
    }
    for key in UNKNOWN_TO_IPA {
        if text(info, key)?.is_some() {
            return Err(InfoError::instance(key, "is set, and nothing that IPA can do"));
        }
    }
    let url = source(info)?;
    let format = match text(info, "image_disk_format")? {
        Some(format @ ("raw" | "qcow2")) => format,
        Some(_) => return Err(InfoError::instance("image_disk_format", "is neither raw nor qcow2")),
        None => {
            return Err(InfoError::instance(
                "image_disk_format",
                "is missing: IPA has to be told raw or qcow2",
            ));
        }
    };
    if !matches!(text(info, "image_type")?, None | Some("whole-disk")) {
        let reason = "is not whole-disk, the only kind that is deployed with IPA";
        return Err(InfoError::instance("image_type", reason));
    }
    let digest = digest(info, policy.md5_enabled)?;
    if digest.is_empty() {
        let reason = "is missing, and so is image_os_hash_value: nothing is written unverified";
        return Err(InfoError::instance("image_checksum", reason));
    }
    let mut image = Map::new();
    image.insert("id".into(), id.into());
    image.insert("urls".into(), json!([url]));
    image.insert("node_uuid".into(), node.uuid.to_string().into());
    image.insert("disk_format".into(), format.into());
    image.insert("container_format".into(), "bare".into());
    image.insert("stream_raw_images".into(), true.into());
    image.insert("image_type".into(), "whole-disk".into());
    for (key, value) in digest {
        image.insert(key.into(), value.into());
    }
    let drive = text(info, "configdrive")?.map_or(Value::Null, Value::from);
    Ok(Map::from_iter([("image_info".to_owned(), image.into()), ("configdrive".to_owned(), drive)]))
}

fn source(info: &Map<String, Value>) -> Result<&str, InfoError> {
    const KEY: &str = "image_source";
    let url = text(info, KEY)?.ok_or_else(|| InfoError::instance(KEY, "is missing"))?;
    if !is_url(url) {
        let reason =
            "is neither http:// nor https://: IPA fetches images itself, it can be lent no connection";
        return Err(InfoError::instance(KEY, reason));
    }
    let path = url.split(['?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    if COMPRESSED.iter().any(|ending| path.ends_with(ending)) {
        return Err(InfoError::instance(KEY, "is compressed: IPA would write it to the disk as it is"));
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(info: &Value) -> Node {
        let mut node = Node::new("manual");
        let whole = json!({"image_source": "http://h/i.raw", "image_disk_format": "raw",
                           "image_checksum": "a".repeat(64)});
        node.instance_info = whole.as_object().unwrap().clone();
        node.instance_info.extend(info.as_object().unwrap().clone());
        node
    }

    #[test]
    fn what_ipa_is_told() {
        let node = node(&json!({"image_os_hash_algo": "SHA-512", "image_os_hash_value": "b".repeat(128),
                                "image_disk_format": "qcow2", "configdrive": "H4sI"}));
        let args = ipa_image(&node, "flow-4").unwrap();
        let wanted = json!({
            "configdrive": "H4sI",
            "image_info": {
                "id": "flow-4", "urls": ["http://h/i.raw"], "node_uuid": node.uuid.to_string(),
                "disk_format": "qcow2", "container_format": "bare", "stream_raw_images": true,
                "image_type": "whole-disk", "os_hash_algo": "sha512", "os_hash_value": "b".repeat(128),
            },
        });
        assert_eq!(Value::Object(args), wanted);
    }

    #[test]
    fn what_ipa_cannot_do_is_named_before_anything_is_booted() {
        check_for_ipa(&node(&json!({}))).unwrap();
        for (info, key) in [
            (json!({"image_source": "file:///i.raw"}), "image_source"),
            (json!({"image_source": null}), "image_source"),
            (json!({"image_source": "https://h/i.raw.XZ?a=b"}), "image_source"),
            (json!({"image_disk_format": null}), "image_disk_format"),
            (json!({"image_disk_format": "vmdk"}), "image_disk_format"),
            (json!({"image_type": "partition"}), "image_type"),
            (json!({"image_checksum": null}), "image_checksum"),
            (json!({"image_checksum": "a".repeat(32)}), "image_checksum"),
            (json!({"image_signature": "http://h/i.minisig"}), "image_signature"),
            (json!({"bmap_url": "http://h/i.bmap"}), "bmap_url"),
            (json!({"verify": "full"}), "verify"),
            (json!({"write_mode": "changed"}), "write_mode"),
        ] {
            let error = check_for_ipa(&node(&info)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("instance_info.{key} ")), "{error}");
        }
        use base64::Engine as _;
        let mut key = b"Ed".to_vec();
        key.resize(42, 1);
        let mut signed = node(&json!({}));
        let key = base64::engine::general_purpose::STANDARD.encode(key);
        signed.driver_info.insert("image_signature_keys".into(), key.into());
        signed.driver_info.insert("require_image_signature".into(), true.into());
        let error = check_for_ipa(&signed).unwrap_err().to_string();
        assert!(error.starts_with("driver_info.require_image_signature "), "{error}");
    }
}
