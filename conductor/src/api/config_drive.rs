//! The config drive that comes with a deployment (API contract §2.4).

use serde_json::Value;

use super::fault::Fault;
use super::version::Version;

/// Checks a config drive; `None` for the forms that mean none.
pub(super) fn read(value: Value, version: Version) -> Result<Option<String>, Fault> {
    match value {
        Value::String(text) if text.is_empty() => Ok(None),
        Value::String(text) => {
            if text.contains("://") || is_base64(&text) {
                return Ok(Some(text));
            }
            Err(Fault::invalid(
                "Invalid configdrive format: it is neither a JSON, nor a URL, nor a base64 string",
            ))
        }
        Value::Object(_) if version < Version(56) => Err(Fault::too_new()),
        Value::Object(fields) if fields.is_empty() => Ok(None),
        Value::Object(fields) => {
            const KEYS: [&str; 4] = ["meta_data", "network_data", "user_data", "vendor_data"];
            if let Some(unknown) = fields.keys().find(|key| !KEYS.contains(&key.as_str())) {
                return Err(Fault::invalid(format!(
                    "Invalid configdrive format: Additional properties are not allowed ('{unknown}' was unexpected)"
                )));
            }
            Err(Fault::invalid(
                "A config drive as an object is not supported by this service yet: give the gzipped ISO image, \
                 base64-encoded, or its URL.",
            ))
        }
        _ => Err(Fault::invalid("Invalid configdrive format: it must be a string or an object")),
    }
}

fn is_base64(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') || c.is_ascii_whitespace();
    text.chars().all(good)
}
