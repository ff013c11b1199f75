//! Bodies of requests that create, change and deploy nodes.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::arguments::{CreateArguments, SetArguments};
use super::assignments::{facts, image, json_file};
use super::error::CliError;

/// Body of `POST /v1/nodes`.
pub(super) fn create(arguments: &CreateArguments) -> Result<Value, CliError> {
    let mut fields = facts(&arguments.facts)?;
    fields.insert("name".into(), arguments.name.clone().into());
    fields.insert("driver".into(), arguments.driver.clone().into());
    Ok(Value::Object(fields))
}

/// Body of `PATCH /v1/nodes/{node}`.
pub(super) fn set(arguments: &SetArguments) -> Result<Value, CliError> {
    let mut fields = facts(&arguments.facts)?;
    for (field, value) in [("name", &arguments.name), ("driver", &arguments.driver)] {
        if let Some(value) = value {
            fields.insert(field.into(), value.clone().into());
        }
    }
    let info = image(&arguments.image)?;
    if !info.is_empty() {
        fields.insert("instance_info".into(), info.into());
    }
    let mut operations = patch(fields);
    for path in &arguments.unset {
        operations.push(json!({"op": "remove", "path": format!("/{}", path.trim_start_matches('/'))}));
    }
    if operations.is_empty() {
        return Err(CliError::Usage("nothing to set; see `tacit node set --help`".into()));
    }
    Ok(operations.into())
}

/// Operations that set fields: objects are merged key by key, except documents that make sense only whole.
pub(super) fn patch(fields: Map<String, Value>) -> Vec<Value> {
    let add = |path: String, value: Value| json!({"op": "add", "path": path, "value": value});
    let mut operations = Vec::new();
    for (field, value) in fields {
        match value {
            Value::Object(map) if field != "network_data" => {
                operations.extend(map.into_iter().map(|(key, value)| add(format!("/{field}/{key}"), value)));
            }
            value => operations.push(add(format!("/{field}"), value)),
        }
    }
    operations
}

/// A config drive as the API takes it: a URL, base64 text, or an object.
pub(super) fn config_drive(given: &str) -> Result<Value, CliError> {
    if given.contains("://") {
        return Ok(given.into());
    }
    let path = Path::new(given);
    if path.is_dir() {
        return directory(path);
    }
    if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json")) {
        return json_file(path);
    }
    let bytes = std::fs::read(path).map_err(|source| CliError::File { path: path.to_owned(), source })?;
    const GZIP: [u8; 2] = [0x1f, 0x8b];
    if bytes.starts_with(&GZIP) {
        return Ok(STANDARD.encode(bytes).into());
    }
    match String::from_utf8(bytes) {
        Ok(text) if STANDARD.decode(text.split_whitespace().collect::<String>()).is_ok() => {
            Ok(text.trim().into())
        }
        _ => Err(CliError::Usage(format!("{given} is neither a gzipped image nor the base64 text of one"))),
    }
}

/// The files of a directory as `openstack/latest` of a config drive holds them.
fn directory(path: &Path) -> Result<Value, CliError> {
    let latest = path.join("openstack").join("latest");
    let base = if latest.is_dir() { latest } else { path.to_owned() };
    let mut drive = Map::new();
    for name in ["meta_data", "network_data", "vendor_data"] {
        let file = base.join(format!("{name}.json"));
        if file.is_file() {
            drive.insert(name.into(), json_file(&file)?);
        }
    }
    let user_data = base.join("user_data");
    if user_data.is_file() {
        let text = std::fs::read_to_string(&user_data);
        drive.insert(
            "user_data".into(),
            text.map_err(|source| CliError::File { path: user_data, source })?.into(),
        );
    }
    if drive.is_empty() {
        let text = format!("{} holds none of meta_data.json, user_data, network_data.json", path.display());
        return Err(CliError::Usage(text));
    }
    Ok(drive.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_merged_and_network_data_is_replaced() {
        let fields = json!({
            "name": "n1", "driver_info": {"a": 1, "b": {"c": 2}}, "network_data": {"links": []},
        });
        let Value::Object(fields) = fields else { unreachable!() };
        let wanted = json!([
            {"op": "add", "path": "/name", "value": "n1"},
            {"op": "add", "path": "/driver_info/a", "value": 1},
            {"op": "add", "path": "/driver_info/b", "value": {"c": 2}},
            {"op": "add", "path": "/network_data", "value": {"links": []}},
        ]);
        assert_eq!(Value::Array(patch(fields)), wanted);
    }

    #[test]
    fn config_drives_in_their_forms() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let given = |name: &str| config_drive(path(name).to_str().unwrap());
        std::fs::write(path("gz"), [0x1f, 0x8b, 8, 0]).unwrap();
        assert_eq!(given("gz").unwrap(), json!("H4sIAA=="));
        std::fs::write(path("text"), "H4sI\nAA==\n").unwrap();
        assert_eq!(given("text").unwrap(), json!("H4sI\nAA=="));
        std::fs::write(path("bad"), "not base64!").unwrap();
        assert!(given("bad").is_err());
        assert_eq!(config_drive("http://h/drive").unwrap(), json!("http://h/drive"));
        std::fs::create_dir_all(path("d/openstack/latest")).unwrap();
        assert!(given("d").is_err());
        std::fs::write(path("d/openstack/latest/meta_data.json"), r#"{"uuid": "x"}"#).unwrap();
        std::fs::write(path("d/openstack/latest/user_data"), "#cloud-config\n").unwrap();
        assert_eq!(given("d").unwrap(), json!({"meta_data": {"uuid": "x"}, "user_data": "#cloud-config\n"}));
    }
}
