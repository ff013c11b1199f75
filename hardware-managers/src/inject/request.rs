//! The files that are asked for, checked as a whole before any disk is looked at.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::checksum::Checksum;

const KEYS: [&str; 9] =
    ["path", "partition", "content", "checksum", "deleted", "mode", "dirmode", "owner", "group"];
/// Longest path that a file system call takes, with its closing zero.
const MAX_PATH: usize = 4096;
/// What all files of a step may have together, in bytes: they are in memory until they are written.
pub(super) const MAX_CONTENT: usize = 64 << 20;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileRequest {
    /// Components from the root of the file system, at least one.
    pub(super) path: Vec<String>,
    pub(super) partition: Option<Partition>,
    pub(super) action: Action,
    pub(super) mode: Option<u32>,
    /// Of folders that have to be made.
    pub(super) folder_mode: u32,
    pub(super) owner: Option<u32>,
    pub(super) group: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Partition {
    /// On the root device.
    Number(u32),
    /// A device by its path.
    Device(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Write(Vec<u8>),
    /// From this URL, whose placeholders are still in it, if it has this digest.
    Fetch(String, Checksum),
    Delete,
}

impl FileRequest {
    /// `/etc/motd`.
    pub(super) fn shown(&self) -> String {
        format!("/{}", self.path.join("/"))
    }

    /// Length of the content that came with the request.
    pub(super) fn bytes(&self) -> usize {
        match &self.action {
            Action::Write(content) => content.len(),
            Action::Fetch(..) | Action::Delete => 0,
        }
    }
}

/// Reads `properties.inject_files` and the argument `files`, in this order.
///
/// # Errors
///
/// Everything that is wrong with any of them.
pub(super) fn parse(node: &Value, files: Option<&Value>) -> Result<Vec<FileRequest>, Vec<String>> {
    let mut problems = Vec::new();
    let mut requests = Vec::new();
    let lists = [("properties.inject_files", Some(&node["properties"]["inject_files"])), ("files", files)];
    for (name, list) in lists {
        match list {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => {
                for (at, entry) in list.iter().enumerate() {
                    let place = format!("{name}[{at}]");
                    match entry {
                        Value::Object(entry) => requests.extend(one(&place, entry, &mut problems)),
                        other => problems.push(format!("{place} must be an object, not {other}")),
                    }
                }
            }
            Some(other) => problems.push(format!("{name} must be a list, not {other}")),
        }
    }
    if requests.iter().map(FileRequest::bytes).fold(0, usize::saturating_add) > MAX_CONTENT {
        problems.push(format!("the files are larger than {MAX_CONTENT} bytes together"));
    }
    if problems.is_empty() { Ok(requests) } else { Err(problems) }
}

fn one(place: &str, entry: &Map<String, Value>, problems: &mut Vec<String>) -> Option<FileRequest> {
    let before = problems.len();
    let mut wrong = |text: String| problems.push(format!("{place}: {text}"));
    for key in entry.keys().filter(|key| !KEYS.contains(&key.as_str())) {
        wrong(format!("{key} is not known; known are {}", KEYS.join(", ")));
    }
    let path = match entry.get("path").and_then(Value::as_str) {
        Some(path) => components(path).map_err(&mut wrong).unwrap_or_default(),
        None => {
            wrong("path must be given, as text".to_owned());
            Vec::new()
        }
    };
    let partition = match entry.get("partition") {
        None | Some(Value::Null) => None,
        Some(Value::String(device)) if device.starts_with("/dev/") && !device.contains("..") => {
            Some(Partition::Device(device.clone()))
        }
        Some(Value::Number(number)) => {
            let number =
                number.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number > 0);
            if number.is_none() {
                wrong("partition must be above 0".to_owned());
            }
            number.map(Partition::Number)
        }
        Some(other) => {
            wrong(format!("partition must be a number or the path of a device, not {other}"));
            None
        }
    };
    if path.len() == 1 && partition.is_none() {
        wrong("a file directly in / needs a partition".to_owned());
    }
    let mut number = |key: &str, most: u32| match entry.get(key) {
        None | Some(Value::Null) => None,
        Some(value) => {
            let number =
                value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|number| *number <= most);
            if number.is_none() {
                wrong(format!("{key} must be a whole number up to {most}, not {value}"));
            }
            number
        }
    };
    let mode = number("mode", 0o7777);
    let folder_mode = number("dirmode", 0o7777).unwrap_or(0o755);
    let (owner, group) = (number("owner", u32::MAX - 1), number("group", u32::MAX - 1));
    let action = action(entry).map_err(&mut wrong).ok();
    (problems.len() == before).then_some(())?;
    Some(FileRequest { path, partition, action: action?, mode, folder_mode, owner, group })
}

fn action(entry: &Map<String, Value>) -> Result<Action, String> {
    let deleted = match entry.get("deleted") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(deleted)) => *deleted,
        Some(other) => return Err(format!("deleted must be true or false, not {other}")),
    };
    let checksum = match entry.get("checksum") {
        None | Some(Value::Null) => None,
        Some(value) => {
            let parsed = value.as_str().and_then(Checksum::parse);
            Some(parsed.ok_or_else(|| format!("checksum must be {}", Checksum::FORM))?)
        }
    };
    match (entry.get("content"), checksum) {
        (None | Some(Value::Null), Some(_)) => Err("a checksum needs content".to_owned()),
        (None | Some(Value::Null), None) if deleted => Ok(Action::Delete),
        (None | Some(Value::Null), None) => Err("either content or deleted must be given".to_owned()),
        (Some(Value::String(_)), _) if deleted => Err("a file cannot have content and be deleted".to_owned()),
        (Some(Value::String(url)), checksum) if url.contains("://") => match checksum {
            Some(checksum) => Ok(Action::Fetch(url.clone(), checksum)),
            None => Err(format!("content behind a URL needs a checksum: {}", Checksum::FORM)),
        },
        (Some(Value::String(text)), checksum) => {
            let content = decode(text)?;
            if checksum.is_some_and(|checksum| !checksum.is_of(&content)) {
                return Err("content does not have its checksum".to_owned());
            }
            Ok(Action::Write(content))
        }
        (Some(other), _) => Err(format!("content must be text, not {other}")),
    }
}

fn decode(text: &str) -> Result<Vec<u8>, String> {
    if text.len() / 4 * 3 > MAX_CONTENT {
        return Err(format!("content is larger than {MAX_CONTENT} bytes"));
    }
    let plain: String = text.split_ascii_whitespace().collect();
    STANDARD.decode(plain).map_err(|error| format!("content is no base64: {error}"))
}

/// A path's names. `.` and `..` say nothing that a plain path could not say, and are refused.
fn components(path: &str) -> Result<Vec<String>, String> {
    if path.len() >= MAX_PATH || path.contains('\0') {
        return Err("path is longer than paths can be, or has a zero in it".to_owned());
    }
    let Some(rest) = path.strip_prefix('/') else {
        return Err(format!("path must begin with /, as '{path}' does not"));
    };
    if rest.is_empty() || rest.ends_with('/') {
        return Err(format!("path must name a file, not the folder '{path}'"));
    }
    let names: Vec<String> = rest.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    match names.iter().find(|name| matches!(name.as_str(), "." | "..") || name.len() > 255) {
        Some(name) => Err(format!("path must not have '{name}' in it")),
        None => Ok(names),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(entry: Value) -> Result<Vec<FileRequest>, Vec<String>> {
        parse(&json!({}), Some(&json!([entry])))
    }

    #[test]
    fn a_whole_entry() {
        let entry =
            json!({"path": "/etc//motd", "partition": 2, "content": "aGVs\nbG8=", "mode": 0o600, "owner": 5});
        let file = parsed(entry).unwrap().remove(0);
        assert_eq!(
            (file.shown().as_str(), file.partition.clone()),
            ("/etc/motd", Some(Partition::Number(2)))
        );
        assert_eq!(file.action, Action::Write(b"hello".to_vec()));
        assert_eq!(
            (file.mode, file.folder_mode, file.owner, file.group),
            (Some(0o600), 0o755, Some(5), None)
        );
    }

    #[test]
    fn the_node_s_files_come_first() {
        let file = |path: &str| json!({"path": path, "deleted": true});
        let node = json!({"properties": {"inject_files": [file("/a/1")]}});
        let files = parse(&node, Some(&json!([file("/a/2")]))).unwrap();
        assert_eq!(files.iter().map(FileRequest::shown).collect::<Vec<_>>(), ["/a/1", "/a/2"]);
        assert_eq!(files[0].action, Action::Delete);
        assert_eq!(parse(&json!({}), None), Ok(vec![]));
    }

    #[test]
    fn what_all_files_have_together_is_bounded() {
        let third = STANDARD.encode(vec![0; MAX_CONTENT / 3]);
        let file = json!({"path": "/a/b", "content": third});
        assert!(parse(&json!({}), Some(&json!([file, file, file]))).is_ok());
        let problems = parse(&json!({}), Some(&json!([file, file, file, file]))).unwrap_err();
        assert!(problems[0].contains("together"), "{problems:?}");
    }

    #[test]
    fn paths_that_lead_elsewhere_are_refused() {
        for path in ["etc/motd", "/", "/etc/", "/etc/../x/y", "/./a/b", "", "/a/\0"] {
            let problems = parsed(json!({"path": path, "deleted": true})).unwrap_err();
            assert!(problems[0].contains("path"), "{path}: {problems:?}");
        }
    }

    #[test]
    fn every_problem_of_every_file_is_told() {
        let files = json!([
            {"path": "/motd", "content": "***", "mode": "0644", "colour": 1},
            {"path": "/a/b", "content": "YQ==", "deleted": true, "partition": "sda1"},
            7,
            {"content": 1, "partition": 0, "owner": -1},
            {"path": "/a/c", "content": "https://h/c"},
            {"path": "/a/d", "content": "https://h/d", "checksum": "d41d8cd98f00b204e9800998ecf8427e"},
            {"path": "/a/e", "content": "YQ==", "checksum": "0".repeat(64)},
            {"path": "/a/f", "deleted": true, "checksum": "0".repeat(64)},
        ]);
        let problems = parse(&json!({"properties": {"inject_files": {}}}), Some(&files)).unwrap_err();
        let all = problems.join("; ");
        for expected in [
            "properties.inject_files must be a list",
            "files[0]: colour is not known",
            "files[0]: a file directly in /",
            "files[0]: mode must be",
            "files[0]: content is no base64",
            "files[1]: a file cannot have content and be deleted",
            "files[1]: partition must be",
            "files[2] must be an object",
            "files[3]: path must be given",
            "files[3]: partition must be above 0",
            "files[3]: owner must be",
            "files[3]: content must be text",
            "files[4]: content behind a URL needs a checksum",
            "files[5]: checksum must be",
            "files[6]: content does not have its checksum",
            "files[7]: a checksum needs content",
        ] {
            assert!(all.contains(expected), "{expected}: {all}");
        }
    }
}
