//! Checks of single values, with the words in which clients hear that one is wrong.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::fault::Fault;

/// The words that the API accepts for yes and no.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" | "on" | "y" | "yes" => Some(true),
        "0" | "f" | "false" | "off" | "n" | "no" => Some(false),
        _ => None,
    }
}

fn wrong(field: &str, value: &Value, wanted: &str) -> Fault {
    let mut shown = value.to_string();
    if shown.len() > 100 {
        shown = shown.chars().take(100).collect::<String>() + "…";
    }
    Fault::invalid(format!("Invalid value for {field}: {shown} is not {wanted}."))
}

pub(super) fn boolean(field: &str, value: &Value) -> Result<bool, Fault> {
    let flag = match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => truth(text),
        Value::Number(number) => truth(&number.to_string()),
        _ => None,
    };
    flag.ok_or_else(|| wrong(field, value, "a boolean"))
}

pub(super) fn object(field: &str, value: Value) -> Result<Map<String, Value>, Fault> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Null => Ok(Map::new()),
        other => Err(wrong(field, &other, "an object")),
    }
}

/// Text of at most `longest` characters, or null.
pub(super) fn text(field: &str, value: Value, longest: usize) -> Result<Option<String>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.chars().count() <= longest => Ok(Some(text)),
        other => Err(wrong(field, &other, &format!("a string of at most {longest} characters"))),
    }
}

pub(super) fn uuid(field: &str, value: &Value) -> Result<Option<Uuid>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Uuid::try_parse(text)
            .map(Some)
            .map_err(|_| Fault::invalid(format!("Expected UUID for {field}: {text}"))),
        other => Err(wrong(field, other, "a UUID")),
    }
}

/// Words that are path elements below `/v1/nodes`.
const RESERVED: [&str; 6] = ["maintenance", "management", "states", "vendor_passthru", "detail", "validate"];

/// Whether `text` has the form of a name (API contract §4.5).
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 255
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | '~'))
}

/// A node's name or null.
pub(super) fn node_name(value: Value) -> Result<Option<String>, Fault> {
    let Some(name) = text("name", value, 255)? else { return Ok(None) };
    if RESERVED.contains(&name.as_str()) {
        return Err(Fault::invalid(format!(
            "The word \"{name}\" is reserved and can not be used as a node name. Reserved words are: {}.",
            RESERVED.join(", ")
        )));
    }
    if !is_name(&name) || Uuid::try_parse(&name).is_ok() {
        return Err(Fault::invalid(format!(
            "'{name}' is not a name for a node: letters, digits and -._~ only, at most 255, and not a UUID."
        )));
    }
    Ok(Some(name))
}
