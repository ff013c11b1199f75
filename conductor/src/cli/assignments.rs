//! `KEY=VALUE` arguments, checksums and files as JSON.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::arguments::{FactArguments, ImageArguments};
use super::error::CliError;

/// Reads `KEY=VALUE` arguments. Objects, lists, `true` and `false` are JSON; everything else is text, so that a
/// password of digits stays one.
pub(super) fn assignments(option: &str, given: &[String]) -> Result<Map<String, Value>, CliError> {
    let mut map = Map::new();
    for one in given {
        let (key, value) = one
            .split_once('=')
            .filter(|(key, _)| !key.is_empty())
            .ok_or_else(|| CliError::Usage(format!("--{option} takes KEY=VALUE, not {one}")))?;
        map.insert(key.to_owned(), value_of(value));
    }
    Ok(map)
}

fn value_of(text: &str) -> Value {
    let json = matches!(text, "true" | "false") || text.starts_with('{') || text.starts_with('[');
    if json && let Ok(value) = serde_json::from_str(text) {
        return value;
    }
    text.into()
}

/// Top-level fields of a node, one entry a field; values of object fields are to be merged.
pub(super) fn facts(arguments: &FactArguments) -> Result<Map<String, Value>, CliError> {
    let mut fields = Map::new();
    let driver_info = assignments("driver-info", &arguments.driver_info)?;
    if !driver_info.is_empty() {
        fields.insert("driver_info".into(), driver_info.into());
    }
    let mut properties = assignments("property", &arguments.properties)?;
    let mut hints = assignments("root-device", &arguments.root_device)?;
    if let Some(size) = hints.get_mut("size")
        && let Some(number) = size.as_str().and_then(|text| text.parse::<u64>().ok())
    {
        *size = number.into();
    }
    if !hints.is_empty() {
        properties.insert("root_device".into(), hints.into());
    }
    if !properties.is_empty() {
        fields.insert("properties".into(), properties.into());
    }
    if let Some(path) = &arguments.network_data {
        fields.insert("network_data".into(), json_file(path)?);
    }
    if let Some(class) = &arguments.resource_class {
        fields.insert("resource_class".into(), class.clone().into());
    }
    if let Some(text) = &arguments.description {
        fields.insert("description".into(), text.clone().into());
    }
    if let Some(flag) = arguments.automated_clean {
        fields.insert("automated_clean".into(), flag.into());
    }
    Ok(fields)
}

/// Keys of `instance_info` that describe an image.
pub(super) fn image(arguments: &ImageArguments) -> Result<Map<String, Value>, CliError> {
    let mut info = assignments("instance-info", &arguments.instance_info)?;
    if let Some(url) = &arguments.image {
        info.insert("image_source".into(), url.clone().into());
    }
    if let Some(format) = &arguments.disk_format {
        info.insert("image_disk_format".into(), format.clone().into());
    }
    if let Some(checksum) = &arguments.checksum {
        // The other forms, which an earlier deployment may have left, must not contradict this one.
        for key in ["image_checksum", "image_os_hash_algo", "image_os_hash_value"] {
            info.insert(key.into(), Value::Null);
        }
        match checksum.split_once(':') {
            Some(_) if checksum.contains("://") => {
                info.insert("image_checksum".into(), checksum.clone().into());
            }
            // Which names there are, the conductor knows.
            Some((algorithm, value)) if algorithm.starts_with(char::is_alphabetic) && !value.is_empty() => {
                info.insert("image_os_hash_algo".into(), algorithm.into());
                info.insert("image_os_hash_value".into(), value.into());
            }
            None if checksum.len() >= 32 && checksum.bytes().all(|b| b.is_ascii_hexdigit()) => {
                info.insert("image_checksum".into(), checksum.clone().into());
            }
            _ => {
                let text = format!(
                    "--checksum takes sha256:HEX, sha512:HEX (or another algorithm) or a URL, not {checksum}"
                );
                return Err(CliError::Usage(text));
            }
        }
    }
    Ok(info)
}

pub(super) fn json_file(path: &Path) -> Result<Value, CliError> {
    let text = std::fs::read(path).map_err(|source| CliError::File { path: path.to_owned(), source })?;
    serde_json::from_slice(&text)
        .map_err(|error| CliError::Usage(format!("{} is not JSON: {error}", path.display())))
}

/// `INTERFACE.STEP` arguments as clean steps, each with the same arguments.
pub(super) fn clean_steps(given: &[String], arguments: &[String]) -> Result<Value, CliError> {
    let arguments = assignments("arg", arguments)?;
    let step = |one: &String| match one.split_once('.') {
        Some((interface, step)) if arguments.is_empty() => Ok(json!({"interface": interface, "step": step})),
        Some((interface, step)) => Ok(json!({"interface": interface, "step": step, "args": arguments})),
        None => Err(CliError::Usage(format!("--step takes INTERFACE.STEP, not {one}"))),
    };
    given.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_kind() {
        let given = ["a=1234", "b=true", "c={\"x\": 1}", "d=x=y", "e=", "f={broken"].map(str::to_owned);
        let wanted = json!({"a": "1234", "b": true, "c": {"x": 1}, "d": "x=y", "e": "", "f": "{broken"});
        assert_eq!(Value::Object(assignments("x", &given).unwrap()), wanted);
        assert!(assignments("x", &["novalue".to_owned()]).is_err());
        assert!(assignments("x", &["=v".to_owned()]).is_err());
    }

    #[test]
    fn checksums_in_their_three_forms() {
        let of = |checksum: &str| {
            image(&ImageArguments { checksum: Some(checksum.to_owned()), ..ImageArguments::default() })
                .map(Value::Object)
        };
        // The forms that were not given are taken back: an older one of them would win.
        let wanted = |checksum: Value, algorithm: Value, value: Value| json!({"image_checksum": checksum, "image_os_hash_algo": algorithm, "image_os_hash_value": value});
        let null = Value::Null;
        assert_eq!(of("sha512:ab").unwrap(), wanted(null.clone(), "sha512".into(), "ab".into()));
        assert_eq!(of("http://h/SUMS").unwrap(), wanted("http://h/SUMS".into(), null.clone(), null.clone()));
        let hex = "0".repeat(64);
        assert_eq!(of(&hex).unwrap(), wanted(hex.into(), null.clone(), null));
        assert_eq!(of("sha3-256:ab").unwrap(), wanted(Value::Null, "sha3-256".into(), "ab".into()));
        assert!(of("sha256:").is_err());
        assert!(of("zz").is_err());
    }
}
