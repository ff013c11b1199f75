//! The validator of `image_info` (IPA contract §2.1), in IPA's words.

use serde_json::{Map, Value};

use crate::jobs::CommandError;

/// Length of an MD5 digest in hexadecimal: too weak to count as a checksum.
const MD5_LENGTH: usize = 32;

const NO_CHECKSUM: &str = "Image checksum is not available, either the 'checksum' field or the 'os_hash_algo' and \
                           'os_hash_value' fields pair must be set for image verification.";

pub(super) fn validate_prepare_image(params: &Map<String, Value>) -> Result<(), CommandError> {
    validate(params.get("image_info").unwrap_or(&Value::Null))
}

/// # Errors
///
/// `InvalidCommandParamsError` that names what is missing.
pub(super) fn validate(image_info: &Value) -> Result<(), CommandError> {
    for field in ["id", "urls"] {
        if image_info.get(field).is_none_or(Value::is_null) {
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
    let text_of = |field: &str| image_info.get(field).filter(|value| !value.is_null());
    match (text_of("os_hash_algo"), text_of("os_hash_value")) {
        (None, None) => {}
        (algorithm, digest) => {
            for (field, value) in [("os_hash_algo", algorithm), ("os_hash_value", digest)] {
                if value.and_then(Value::as_str).is_none_or(str::is_empty) {
                    let text = format!("Image '{field}' must be a non-empty string.");
                    return Err(CommandError::invalid_params(text));
                }
            }
            return Ok(());
        }
    }
    let Some(checksum) = text_of("checksum") else { return Err(CommandError::invalid_params(NO_CHECKSUM)) };
    let Some(checksum) = checksum.as_str().filter(|text| !text.is_empty()) else {
        return Err(CommandError::invalid_params("Image 'checksum' must be a non-empty string."));
    };
    if is_url(checksum) || checksum.len() > MD5_LENGTH {
        Ok(())
    } else {
        Err(CommandError::invalid_params(NO_CHECKSUM))
    }
}

/// Whether a checksum or a config drive is given by address.
pub(super) fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}
