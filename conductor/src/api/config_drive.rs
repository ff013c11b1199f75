//! The config drive that comes with a deployment (API contract §2.4).

use serde_json::Value;

use super::drive_image;
use super::fault::Fault;
use super::version::Version;
use crate::node::Node;

/// Checks a config drive, builds it where it is given as an object; `None` for the forms that mean none.
pub(super) fn read(value: Value, version: Version, node: &Node) -> Result<Option<String>, Fault> {
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
            if version < Version(59) && fields.contains_key("vendor_data") {
                return Err(Fault::too_new());
            }
            let files = drive_image::files(fields, node)?;
            drive_image::build(&files).map(Some).map_err(|error| Fault::internal(&error))
        }
        _ => Err(Fault::invalid("Invalid configdrive format: it must be a string or an object")),
    }
}

fn is_base64(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=') || c.is_ascii_whitespace();
    text.chars().all(good)
}
