use serde_json::{Map, Value};

/// A key that is missing or of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}.{key} {reason}")]
pub(in crate::flows) struct InfoError {
    /// `instance_info`, `driver_info` or `properties`.
    place: &'static str,
    key: &'static str,
    reason: String,
}

impl InfoError {
    pub(super) fn instance(key: &'static str, reason: impl Into<String>) -> Self {
        Self { place: "instance_info", key, reason: reason.into() }
    }

    pub(super) fn driver(key: &'static str, reason: impl Into<String>) -> Self {
        Self { place: "driver_info", key, reason: reason.into() }
    }
}

impl From<InfoError> for String {
    fn from(error: InfoError) -> Self {
        error.to_string()
    }
}

/// A text of `instance_info`; null and the empty text count as absent.
pub(super) fn text<'i>(
    info: &'i Map<String, Value>,
    key: &'static str,
) -> Result<Option<&'i str>, InfoError> {
    match info.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim()).filter(|text| !text.is_empty())),
        Some(_) => Err(InfoError::instance(key, "is not a text")),
    }
}

/// A whole number, also as a text, as command lines give it.
pub(super) fn number(value: Option<&Value>) -> Result<Option<u64>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number.as_u64().map(Some).ok_or("is not a whole number"),
        Some(Value::String(text)) if text.trim().is_empty() => Ok(None),
        Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| "is not a whole number"),
        Some(_) => Err("is not a whole number"),
    }
}

/// A boolean, also as a text in one of Ironic's spellings.
pub(super) fn flag(value: Option<&Value>) -> Result<Option<bool>, &'static str> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(Value::String(text)) => match text.trim().to_ascii_lowercase().as_str() {
            "" => Ok(None),
            "1" | "t" | "true" | "on" | "y" | "yes" => Ok(Some(true)),
            "0" | "f" | "false" | "off" | "n" | "no" => Ok(Some(false)),
            _ => Err("is neither true nor false"),
        },
        Some(_) => Err("is neither true nor false"),
    }
}
