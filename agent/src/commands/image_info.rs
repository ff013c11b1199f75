//! The validator of `image_info` (IPA contract §2.1), in IPA's words, with our own keys.

use serde_json::{Map, Value};
use tacit_protocol::image::ImageInfo;
use tacit_protocol::medium::ImagePolicy;

use crate::jobs::CommandError;

/// Length of an MD5 digest in hexadecimal: too weak to count as a checksum where it was not enabled.
const MD5_LENGTH: usize = 32;

const NO_CHECKSUM: &str = "Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and \
                           'os_hash_value' fields pair must be set for image verification.";

pub(super) fn validate_prepare_image(
    params: &Map<String, Value>,
    policy: &ImagePolicy,
) -> Result<(), CommandError> {
    validate(params.get("image_info").unwrap_or(&Value::Null), policy)
}

/// # Errors
///
/// `InvalidCommandParamsError` that names what is missing.
pub(super) fn validate(image_info: &Value, policy: &ImagePolicy) -> Result<(), CommandError> {
    for field in ["id", "urls"] {
        if image_info.get(field).is_none() {
            return Err(CommandError::invalid_params(format!("Image is missing '{field}' field.")));
        }
    }
    if !image_info["id"].is_string() {
        return Err(CommandError::invalid_params("Image 'id' must be a string."));
    }
    if image_info["urls"].as_array().is_none_or(Vec::is_empty) {
        let text = "Image 'urls' must be a list with at least one element.";
        return Err(CommandError::invalid_params(text));
    }
    digest_fields(image_info, policy)?;
    let info: ImageInfo = serde_json::from_value(image_info.clone())
        .map_err(|error| CommandError::invalid_params(format!("image_info: {error}")))?;
    own_fields(&info, policy)
}

/// The config drive beside an `image_info`.
///
/// # Errors
///
/// `InvalidCommandParamsError` for what is neither text nor left out: nothing that was given is dropped in silence.
pub(super) fn config_drive(given: Option<&Value>) -> Result<Option<&str>, CommandError> {
    match given {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(CommandError::invalid_params("'configdrive' must be a string.")),
    }
}

fn digest_fields(image_info: &Value, policy: &ImagePolicy) -> Result<(), CommandError> {
    let given = |field: &str| image_info.get(field).filter(|value| !value.is_null());
    // As Python has it: an empty text is as good as none.
    let truthy = |field: &str| given(field).filter(|value| value.as_str() != Some(""));
    let mut vouched = false;
    if let Some(checksum) = given("checksum") {
        let Some(checksum) = checksum.as_str().filter(|text| !text.is_empty()) else {
            return Err(CommandError::invalid_params("Image 'checksum' must be a non-empty string."));
        };
        let md5 = policy.md5_enabled && checksum.len() == MD5_LENGTH;
        vouched = is_url(checksum) || checksum.len() > MD5_LENGTH || md5;
    }
    if truthy("os_hash_algo").or_else(|| truthy("os_hash_value")).is_some() {
        for field in ["os_hash_algo", "os_hash_value"] {
            if given(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                let text = format!("Image '{field}' must be a non-empty string.");
                return Err(CommandError::invalid_params(text));
            }
        }
        vouched = true;
    }
    // A signature or a block map vouches for the image, too.
    let others = ["image_signature", "bmap_url"].into_iter().any(|field| given(field).is_some());
    if vouched || others { Ok(()) } else { Err(CommandError::invalid_params(NO_CHECKSUM)) }
}

fn own_fields(info: &ImageInfo, policy: &ImagePolicy) -> Result<(), CommandError> {
    let wrong = |text: &str| Err(CommandError::invalid_params(text));
    let given = |field: &Option<String>| field.as_deref().is_some_and(|text| !text.trim().is_empty());
    match (given(&info.bmap_url), given(&info.bmap_checksum)) {
        (true, false) => return wrong("Image 'bmap_url' needs 'bmap_checksum', which pins the block map."),
        (false, true) => return wrong("Image 'bmap_checksum' needs 'bmap_url'."),
        _ => {}
    }
    if info.bmap_url.as_deref().is_some_and(|url| !is_url(url)) {
        return wrong("Image 'bmap_url' must be an http or https URL.");
    }
    match &info.image_signature {
        Some(text) if text.trim().is_empty() => {
            return wrong("Image 'image_signature' must be a non-empty string.");
        }
        Some(_) if policy.image_signature_keys.is_empty() => {
            return wrong(
                "Image 'image_signature': this node's configuration pins no 'image_signature_keys'.",
            );
        }
        None if policy.require_image_signature => {
            return wrong("Image is missing 'image_signature', which this node's configuration requires.");
        }
        _ => {}
    }
    if info.is_partition_image() && info.partition.root_mb.is_none_or(|size| size == 0) {
        return wrong("Image 'root_mb' must be a positive number for a partition image.");
    }
    Ok(())
}

/// Whether a checksum, a signature or a config drive is given by address.
pub(super) fn is_url(text: &str) -> bool {
    let starts =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme));
    starts("http://") || starts("https://")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(more: &Value, policy: &ImagePolicy) -> Result<(), String> {
        let mut info = json!({"id": "i", "urls": ["http://h/i"]});
        for (key, value) in more.as_object().unwrap() {
            info[key] = value.clone();
        }
        validate(&info, policy).map_err(|error| error.error.details)
    }

    fn plain(more: &Value) -> Result<(), String> {
        with(more, &ImagePolicy::default())
    }

    #[test]
    fn something_must_vouch_for_the_image() {
        assert_eq!(plain(&json!({})), Err(NO_CHECKSUM.into()));
        assert_eq!(plain(&json!({"checksum": null})), Err(NO_CHECKSUM.into()));
        plain(&json!({"checksum": "a".repeat(64)})).unwrap();
        plain(&json!({"checksum": "HTTPS://h/SHA256SUMS"})).unwrap();
        plain(&json!({"os_hash_algo": "sha3_256", "os_hash_value": "a"})).unwrap();
        plain(&json!({"bmap_url": "http://h/i.bmap", "bmap_checksum": "a"})).unwrap();
        let keys = ImagePolicy { image_signature_keys: vec!["RW".into()], ..ImagePolicy::default() };
        with(&json!({"image_signature": "http://h/i.minisig"}), &keys).unwrap();
    }

    #[test]
    fn a_config_drive_is_text_or_none() {
        let text = json!("H4sI");
        assert_eq!(config_drive(None).unwrap(), None);
        assert_eq!(config_drive(Some(&json!(null))).unwrap(), None);
        assert_eq!(config_drive(Some(&text)).unwrap(), Some("H4sI"));
        for wrong in [json!({"meta_data": {}}), json!([]), json!(5), json!(true), json!(false)] {
            let error = config_drive(Some(&wrong)).unwrap_err();
            assert_eq!(error.error.class, "InvalidCommandParamsError", "{wrong}");
        }
    }

    #[test]
    fn md5_must_have_been_enabled() {
        let md5 = json!({"checksum": "a".repeat(32)});
        assert_eq!(plain(&md5), Err(NO_CHECKSUM.into()));
        let enabled = ImagePolicy { md5_enabled: true, ..ImagePolicy::default() };
        with(&md5, &enabled).unwrap();
        assert_eq!(with(&json!({"checksum": "a".repeat(31)}), &enabled), Err(NO_CHECKSUM.into()));
    }

    #[test]
    fn what_belongs_together_comes_together() {
        let sum = "a".repeat(64);
        for (wrong, word) in [
            (json!({"os_hash_algo": "sha256"}), "os_hash_value"),
            (json!({"checksum": sum, "bmap_url": "http://h/b"}), "bmap_checksum"),
            (json!({"checksum": sum, "bmap_checksum": sum}), "bmap_url"),
            (json!({"checksum": sum, "bmap_url": "file:///b", "bmap_checksum": sum}), "bmap_url"),
            (json!({"checksum": sum, "image_signature": "x"}), "image_signature_keys"),
            (json!({"checksum": sum, "image_signature": " "}), "image_signature"),
            (json!({"checksum": sum, "image_type": "partition"}), "root_mb"),
            (json!({"checksum": sum, "write_mode": "sometimes"}), "write_mode"),
        ] {
            let error = plain(&wrong).unwrap_err();
            assert!(error.contains(word) || error.contains("unknown variant"), "{error}");
        }
        plain(&json!({"checksum": sum, "image_type": "partition", "root_mb": "10"})).unwrap();
    }

    #[test]
    fn a_required_signature_cannot_be_left_out() {
        let policy = ImagePolicy {
            image_signature_keys: vec!["RW".into()],
            require_image_signature: true,
            ..ImagePolicy::default()
        };
        let error = with(&json!({"checksum": "a".repeat(64)}), &policy).unwrap_err();
        assert!(error.contains("image_signature"), "{error}");
        let none = ImagePolicy { image_signature_keys: Vec::new(), ..policy };
        assert!(with(&json!({"checksum": "a".repeat(64), "image_signature": "x"}), &none).is_err());
    }
}
