//! What a node's operator wants of all its images: `driver_info`, which tenants do not write.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tacit_protocol::medium::ImagePolicy;

use super::fault::{InfoError, flag, number};
use crate::node::Node;

/// Bytes of a minisign public key: algorithm, id, Ed25519 key.
const KEY_LENGTH: usize = 42;

/// The part of the node's medium that says what holds for images.
pub(in crate::flows) fn policy(node: &Node) -> Result<ImagePolicy, InfoError> {
    let info = &node.driver_info;
    let switch = |key: &'static str| {
        flag(info.get(key)).map(Option::unwrap_or_default).map_err(|reason| InfoError::driver(key, reason))
    };
    let count = |key: &'static str| {
        let number = number(info.get(key)).map_err(|reason| InfoError::driver(key, reason))?;
        number.map(|n| u32::try_from(n).map_err(|_| InfoError::driver(key, "is too large"))).transpose()
    };
    let policy = ImagePolicy {
        image_signature_keys: keys(info.get("image_signature_keys"))
            .map_err(|reason| InfoError::driver("image_signature_keys", reason))?,
        require_image_signature: switch("require_image_signature")?,
        md5_enabled: switch("md5_enabled")?,
        config_drive_rebuild: switch("config_drive_rebuild")?,
        image_download_connection_timeout: count("image_download_connection_timeout")?,
        image_download_connection_retries: count("image_download_connection_retries")?,
        image_download_connection_retry_interval: count("image_download_connection_retry_interval")?,
    };
    if policy.require_image_signature && policy.image_signature_keys.is_empty() {
        let reason = "is set, and no image_signature_keys could verify one";
        return Err(InfoError::driver("require_image_signature", reason));
    }
    Ok(policy)
}

/// minisign public keys: a list, or one text with commas between them; each the base64 line or a whole key file.
fn keys(value: Option<&Value>) -> Result<Vec<String>, String> {
    let given: Vec<&str> = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) => text.split(',').collect(),
        Some(Value::Array(items)) => {
            items.iter().map(Value::as_str).collect::<Option<_>>().ok_or("is not a list of texts")?
        }
        Some(_) => return Err("is not a list of minisign public keys".into()),
    };
    let given = given.into_iter().map(str::trim).filter(|key| !key.is_empty());
    let key = |(index, text): (usize, &str)| {
        let line = text.lines().last().unwrap_or_default().trim();
        match STANDARD.decode(line) {
            Ok(bytes) if bytes.len() == KEY_LENGTH && bytes.starts_with(b"Ed") => Ok(line.to_owned()),
            _ => Err(format!("has no minisign public key at place {}", index + 1)),
        }
    };
    given.enumerate().map(key).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn key(fill: u8) -> String {
        let mut bytes = b"Ed".to_vec();
        bytes.resize(KEY_LENGTH, fill);
        STANDARD.encode(bytes)
    }

    fn of(info: &Value) -> Result<ImagePolicy, String> {
        let mut node = Node::new("redfish");
        node.driver_info = info.as_object().unwrap().clone();
        policy(&node).map_err(String::from)
    }

    #[test]
    fn keys_in_their_forms() {
        let (a, b) = (key(1), key(2));
        let file = format!("untrusted comment: minisign public key\n{b}\n");
        for given in [json!([a, file]), json!(format!("{a},{file}")), json!(format!("{a}, {b},"))] {
            assert_eq!(
                of(&json!({"image_signature_keys": given})).unwrap().image_signature_keys,
                [a.clone(), b.clone()]
            );
        }
        for wrong in [json!("RWQ"), json!([a, "x"]), json!([1]), json!({"a": 1})] {
            let error = of(&json!({"image_signature_keys": wrong})).unwrap_err();
            assert!(error.starts_with("driver_info.image_signature_keys "), "{error}");
        }
    }

    #[test]
    fn switches_and_numbers_also_as_texts() {
        assert_eq!(of(&json!({})).unwrap(), ImagePolicy::default());
        let given = of(&json!({"md5_enabled": "True", "image_download_connection_timeout": "5",
                               "image_download_connection_retries": 0}))
        .unwrap();
        assert!(given.md5_enabled);
        assert_eq!(given.image_download_connection_timeout, Some(5));
        assert_eq!(given.image_download_connection_retries, Some(0));
        for (wrong, name) in [
            (json!({"md5_enabled": "perhaps"}), "md5_enabled"),
            (json!({"image_download_connection_timeout": -1}), "image_download_connection_timeout"),
            (json!({"image_download_connection_retries": 1_u64 << 40}), "image_download_connection_retries"),
            (json!({"require_image_signature": true}), "require_image_signature"),
        ] {
            let error = of(&wrong).unwrap_err();
            assert!(error.starts_with(&format!("driver_info.{name} ")), "{error}");
        }
    }
}
