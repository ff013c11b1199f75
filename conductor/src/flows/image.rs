//! From `instance_info` to the `image_info` that the agent gets, and to the URLs that it may fetch.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::images::{Allowance, Origin};
use crate::node::Node;

/// Host under which agents ask for images that lie in the conductor's own image directory. Never resolved: requests
/// for it travel over lent connections only.
const LOCAL_HOST: &str = "conductor.invalid";

/// What the step `write_image` needs.
pub(super) struct ImagePlan {
    /// Arguments of the step: `image_info` and, where there is one, `configdrive`.
    pub(super) args: Map<String, Value>,
    pub(super) allowance: Allowance,
}

/// Whether a deployment could start; the reason names the key that is wrong (API contract §4.6).
pub(super) fn check(node: &Node, image_dir: &Path) -> Result<(), String> {
    let info = &node.instance_info;
    source(info, image_dir)?;
    digest(info)?;
    if text(info, "image_type").is_some_and(|kind| kind != "whole-disk") {
        return Err("instance_info.image_type: only whole-disk images are served".into());
    }
    Ok(())
}

/// Builds the arguments of `write_image`.
pub(super) fn plan(node: &Node, image_dir: &Path) -> Result<ImagePlan, String> {
    let info = &node.instance_info;
    let (url, origin) = source(info, image_dir)?;
    let mut allowance = Allowance::new();
    let mut image = Map::new();
    let id = url.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("image").to_owned();
    image.insert("id".into(), id.into());
    image.insert("urls".into(), json!([url]));
    image.insert("node_uuid".into(), node.uuid.to_string().into());
    image.insert("image_type".into(), "whole-disk".into());
    image.insert("disk_format".into(), info.get("image_disk_format").cloned().unwrap_or(Value::Null));
    image.insert("container_format".into(), "bare".into());
    image.insert("stream_raw_images".into(), true.into());
    image.insert("transport".into(), "lent".into());
    for (key, value) in digest(info)? {
        if let Some(url) = value.as_str().filter(|value| is_url(value)) {
            allowance.allow(url, Origin::Http { url: url.to_owned(), authorization: None });
        }
        image.insert(key.into(), value);
    }
    allowance.allow(&url, origin);
    let mut args = Map::new();
    args.insert("image_info".into(), Value::Object(image));
    if let Some(drive) = text(info, "configdrive").filter(|drive| !drive.is_empty()) {
        if is_url(drive) {
            allowance.allow(drive, Origin::Http { url: drive.to_owned(), authorization: None });
        }
        args.insert("configdrive".into(), drive.into());
    }
    Ok(ImagePlan { args, allowance })
}

/// The URL that the agent asks for, and where its bytes come from.
fn source(info: &Map<String, Value>, image_dir: &Path) -> Result<(String, Origin), String> {
    let source = text(info, "image_source").ok_or("instance_info.image_source is missing")?;
    if is_url(source) {
        return Ok((source.to_owned(), Origin::Http { url: source.to_owned(), authorization: None }));
    }
    let Some(path) = source.strip_prefix("file://") else {
        return Err(format!("instance_info.image_source is neither http(s):// nor file://: {source}"));
    };
    let path = confined(Path::new(path), image_dir)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("image");
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).collect();
    Ok((format!("http://{LOCAL_HOST}/{plain}"), Origin::File(path)))
}

/// Only files of the image directory are served, wherever links lead.
fn confined(path: &Path, image_dir: &Path) -> Result<PathBuf, String> {
    let real = path
        .canonicalize()
        .map_err(|error| format!("instance_info.image_source {}: {error}", path.display()))?;
    let root = image_dir
        .canonicalize()
        .map_err(|error| format!("image directory {}: {error}", image_dir.display()))?;
    if real.starts_with(&root) && real.is_file() {
        return Ok(real);
    }
    Err(format!("instance_info.image_source {} is not a file in {}", path.display(), root.display()))
}

/// The digest keys of `image_info`. `os_hash_*` wins over `image_checksum`, as in Ironic.
fn digest(info: &Map<String, Value>) -> Result<Vec<(&'static str, Value)>, String> {
    match (text(info, "image_os_hash_algo"), text(info, "image_os_hash_value")) {
        (Some(algorithm), Some(value)) => {
            let digits = match algorithm {
                "sha256" => 64,
                "sha512" => 128,
                _ => {
                    return Err(format!(
                        "instance_info.image_os_hash_algo {algorithm} is not sha256 or sha512"
                    ));
                }
            };
            if !is_url(value) && !is_hex(value, digits) {
                return Err(format!(
                    "instance_info.image_os_hash_value is not {digits} hexadecimal digits, as {algorithm} has"
                ));
            }
            return Ok(vec![("os_hash_algo", algorithm.into()), ("os_hash_value", value.into())]);
        }
        (None, None) => {}
        _ => return Err("instance_info: image_os_hash_algo and image_os_hash_value belong together".into()),
    }
    let Some(checksum) = text(info, "image_checksum") else {
        return Err("instance_info has no image_checksum and no image_os_hash_value: \
                    nothing is written unverified"
            .into());
    };
    if is_url(checksum) {
        return Ok(vec![("checksum", checksum.into())]);
    }
    let algorithm = match checksum.len() {
        64 => "sha256",
        128 => "sha512",
        32 => {
            return Err("instance_info.image_checksum is MD5, which is refused: give sha256 or sha512".into());
        }
        _ => "",
    };
    if algorithm.is_empty() || !is_hex(checksum, checksum.len()) {
        return Err("instance_info.image_checksum is neither sha256, sha512 nor a URL".into());
    }
    Ok(vec![
        ("checksum", checksum.into()),
        ("os_hash_algo", algorithm.into()),
        ("os_hash_value", checksum.into()),
    ])
}

fn text<'a>(info: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    info.get(key).and_then(Value::as_str)
}

fn is_url(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(info: Value) -> Node {
        let mut node = Node::new("redfish");
        node.instance_info = info.as_object().unwrap().clone();
        node
    }

    fn check_info(info: Value) -> Result<(), String> {
        check(&node(info), Path::new("/nonexistent"))
    }

    #[test]
    fn nothing_without_a_digest() {
        let error = check_info(json!({"image_source": "http://h/i.raw"})).unwrap_err();
        assert!(error.contains("image_checksum"), "{error}");
        let md5 = "d".repeat(32);
        let error = check_info(json!({"image_source": "http://h/i", "image_checksum": md5})).unwrap_err();
        assert!(error.contains("MD5"), "{error}");
        let error =
            check_info(json!({"image_source": "http://h/i", "image_os_hash_algo": "sha512"})).unwrap_err();
        assert!(error.contains("belong together"), "{error}");
        let wrong = json!({"image_source": "http://h/i", "image_os_hash_algo": "sha512", "image_os_hash_value": "ab"});
        assert!(check_info(wrong).unwrap_err().contains("128"));
    }

    #[test]
    fn upper_case_digests_are_accepted() {
        check_info(json!({"image_source": "https://h/i.raw", "image_checksum": "AB".repeat(64)})).unwrap();
    }

    #[test]
    fn source_must_be_known() {
        let sum = "a".repeat(64);
        for source in ["glance://x", "relative", "file:///nonexistent/x"] {
            assert!(check_info(json!({"image_source": source, "image_checksum": sum})).is_err(), "{source}");
        }
    }

    #[test]
    fn files_outside_the_image_directory_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let images = directory.path().join("images");
        std::fs::create_dir(&images).unwrap();
        std::fs::write(images.join("ok.raw"), b"x").unwrap();
        std::fs::write(directory.path().join("secret"), b"x").unwrap();
        std::os::unix::fs::symlink(directory.path().join("secret"), images.join("link.raw")).unwrap();
        let sum = "a".repeat(64);
        let at = |path: PathBuf| {
            node(json!({"image_source": format!("file://{}", path.display()), "image_checksum": sum}))
        };
        check(&at(images.join("ok.raw")), &images).unwrap();
        for path in
            [images.join("link.raw"), images.join("../secret"), PathBuf::from("/dev/zero"), images.clone()]
        {
            assert!(check(&at(path.clone()), &images).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn only_the_urls_of_this_deployment_are_allowed_and_the_agent_is_told_to_borrow() {
        let info = json!({"image_source": "http://h/dir/i.raw.gz", "image_checksum": "http://h/SHA512SUMS",
                          "configdrive": "http://h/drive"});
        let plan = plan(&node(info), Path::new("/nonexistent")).unwrap();
        assert_eq!(plan.args["image_info"]["transport"], "lent");
        assert_eq!(plan.args["image_info"]["id"], "i.raw.gz");
        for url in ["http://h/dir/i.raw.gz", "http://h/SHA512SUMS", "http://h/drive"] {
            assert!(plan.allowance.origin(url).is_some(), "{url}");
        }
        assert!(plan.allowance.origin("http://h/other").is_none());
    }
}
