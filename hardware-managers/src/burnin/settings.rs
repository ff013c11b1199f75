//! Keys of `driver_info`, checked.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::managers::StepError;

/// Reads keys that begin with `agent_burnin_`.
#[derive(Clone, Copy)]
pub(super) struct Settings<'a> {
    node: &'a Value,
}

impl<'a> Settings<'a> {
    pub(super) fn of(node: &'a Value) -> Self {
        Self { node }
    }

    pub(super) fn value(&self, key: &str) -> &'a Value {
        &self.node["driver_info"][format!("agent_burnin_{key}")]
    }

    /// A whole number; operators write numbers as text, too.
    pub(super) fn number(&self, key: &str, default: u64) -> Result<u64, StepError> {
        let value = self.value(key);
        let number = match value {
            Value::Null => Some(default),
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_u64(),
        };
        number.ok_or_else(|| invalid(key, format!("must be a whole number, not {value}")))
    }

    pub(super) fn seconds(&self, key: &str, default: u64) -> Result<Duration, StepError> {
        /// A century: more would overflow what clocks can tell.
        const MOST: u64 = 100 * 366 * 86_400;
        Ok(Duration::from_secs(self.number(key, default)?.min(MOST)))
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, StepError> {
        match self.value(key) {
            Value::Null => Ok(false),
            Value::Bool(flag) => Ok(*flag),
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            other => Err(invalid(key, format!("must be true or false, not {other}"))),
        }
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, StepError> {
        match self.value(key) {
            Value::Null => Ok(None),
            Value::String(text) => Ok(Some(text)),
            other => Err(invalid(key, format!("must be text, not {other}"))),
        }
    }

    /// Where the report goes; an absolute path of the ramdisk.
    pub(super) fn output_file(&self, key: &str) -> Result<Option<PathBuf>, StepError> {
        let Some(text) = self.text(key)?.filter(|text| !text.is_empty()) else { return Ok(None) };
        let path = PathBuf::from(text);
        if !path.is_absolute() {
            return Err(invalid(key, format!("must be an absolute path, not '{text}'")));
        }
        // A disk's node is a path, too, and what is written there is gone.
        match fs::metadata(&path) {
            Ok(there) if !there.is_file() => Err(invalid(key, format!("'{text}' is no regular file"))),
            _ if !path.starts_with("/dev") => Ok(Some(path)),
            _ => Err(invalid(key, format!("'{text}' is among the devices"))),
        }
    }
}

pub(super) fn invalid(key: &str, problem: String) -> StepError {
    StepError::InvalidParameter { parameter: format!("driver_info.agent_burnin_{key}"), problem }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_checked() {
        let node = json!({"driver_info": {
            "agent_burnin_a": "5", "agent_burnin_b": -1, "agent_burnin_c": "True", "agent_burnin_d": "out.log",
        }});
        let settings = Settings::of(&node);
        assert_eq!((settings.number("a", 1), settings.number("x", 7)), (Ok(5), Ok(7)));
        assert!(
            settings.number("b", 1).is_err() && settings.flag("c").unwrap() && settings.flag("a").is_err()
        );
        for path in ["/dev/null", "/dev/sdzz", "/proc", "/"] {
            let node = json!({"driver_info": {"agent_burnin_d": path}});
            assert!(Settings::of(&node).output_file("d").is_err(), "{path}");
        }
        assert!(settings.output_file("d").is_err() && settings.output_file("x").unwrap().is_none());
        let error = settings.number("b", 1).unwrap_err().to_string();
        assert!(error.starts_with("driver_info.agent_burnin_b"), "{error}");
    }
}
