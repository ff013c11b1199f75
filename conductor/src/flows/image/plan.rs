use std::path::Path;

use serde_json::{Map, Value, json};

use super::digest::digest;
use super::fault::{InfoError, text};
use super::options::options;
use super::origin::{is_url, origin};
use super::partition::partition;
use super::policy::policy;
use crate::images::{Allowance, Origin};
use crate::node::Node;

/// What the step `write_image` needs.
pub(in crate::flows) struct ImagePlan {
    /// Arguments of the step: `image_info` and, where there is one, `configdrive`.
    pub(in crate::flows) args: Map<String, Value>,
    /// The URLs in them, and no others.
    pub(in crate::flows) allowance: Allowance,
}

/// Whether a deployment could start.
pub(in crate::flows) fn check(node: &Node, image_dir: &Path) -> Result<(), InfoError> {
    plan(node, image_dir).map(drop)
}

/// Builds the arguments of `write_image`.
pub(in crate::flows) fn plan(node: &Node, image_dir: &Path) -> Result<ImagePlan, InfoError> {
    let info = &node.instance_info;
    let policy = policy(node)?;
    let source =
        text(info, "image_source")?.ok_or_else(|| InfoError::instance("image_source", "is missing"))?;
    let (url, source) = origin("image_source", source, "", image_dir)?;
    let digest = digest(info, policy.md5_enabled)?;
    let options = options(info, image_dir)?;
    if digest.is_empty() && !options.vouched {
        let reason = "is missing, and so are image_os_hash_value, image_signature and bmap_url: \
                      nothing is written unverified";
        return Err(InfoError::instance("image_checksum", reason));
    }
    match (text(info, "image_signature")?, policy.image_signature_keys.is_empty()) {
        (Some(_), true) => {
            let reason = "cannot be verified: driver_info.image_signature_keys pins no key";
            return Err(InfoError::instance("image_signature", reason));
        }
        (None, _) if policy.require_image_signature => {
            let reason = "is missing: driver_info.require_image_signature asks for one";
            return Err(InfoError::instance("image_signature", reason));
        }
        _ => {}
    }
    let mut allowance = Allowance::new();
    let mut allow = |url: &str| {
        allowance.allow(url, Origin::Http { url: url.to_owned(), authorization: None });
    };
    let mut image = Map::new();
    let id = url.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("image").to_owned();
    image.insert("id".into(), id.into());
    image.insert("urls".into(), json!([url]));
    image.insert("node_uuid".into(), node.uuid.to_string().into());
    image.insert("disk_format".into(), info.get("image_disk_format").cloned().unwrap_or(Value::Null));
    image.insert("container_format".into(), "bare".into());
    image.insert("stream_raw_images".into(), true.into());
    image.insert("transport".into(), "lent".into());
    for (key, value) in digest {
        if is_url(&value) {
            allow(&value);
        }
        image.insert(key.into(), value.into());
    }
    match text(info, "image_type")? {
        None | Some("whole-disk") => {
            image.insert("image_type".into(), "whole-disk".into());
        }
        Some("partition") => {
            image.insert("image_type".into(), "partition".into());
            image.append(&mut partition(node)?);
        }
        Some(other) => {
            let reason = format!("{other:?} is neither whole-disk nor partition");
            return Err(InfoError::instance("image_type", reason));
        }
    }
    let mut args = Map::new();
    if let Some(drive) = text(info, "configdrive")? {
        if is_url(drive) {
            allow(drive);
        }
        args.insert("configdrive".into(), drive.into());
    }
    for (key, value) in options.keys {
        image.insert(key.into(), value.into());
    }
    for (url, origin) in options.urls {
        allowance.allow(&url, origin);
    }
    // Last: nothing else may stand for the image itself.
    allowance.allow(&url, source);
    args.insert("image_info".into(), Value::Object(image));
    Ok(ImagePlan { args, allowance })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::options::signature_text;
    use super::*;

    fn node(info: Value) -> Node {
        let mut node = Node::new("redfish");
        node.instance_info = info.as_object().unwrap().clone();
        node
    }

    fn check_info(info: Value) -> Result<(), String> {
        check(&node(info), Path::new("/nonexistent")).map_err(String::from)
    }

    fn key() -> String {
        use base64::Engine as _;
        let mut bytes = b"Ed".to_vec();
        bytes.resize(42, 1);
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }

    #[test]
    fn nothing_without_something_that_vouches() {
        let error = check_info(json!({"image_source": "http://h/i.raw"})).unwrap_err();
        assert!(error.contains("image_checksum"), "{error}");
        let bmap = json!({"image_source": "http://h/i.raw", "bmap_url": "http://h/i.bmap",
                          "bmap_checksum": "a".repeat(64)});
        check_info(bmap).unwrap();
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
        let mut map = at(images.join("ok.raw"));
        for (key, value) in [
            ("bmap_url", format!("file://{}", images.join("ok.raw").display())),
            ("bmap_checksum", sum.clone()),
        ] {
            map.instance_info.insert(key.into(), value.into());
        }
        let plan = plan(&map, &images).unwrap();
        let image = &plan.args["image_info"];
        assert_ne!(image["bmap_url"], image["urls"][0], "files of one name are kept apart");
        assert!(plan.allowance.origin(image["bmap_url"].as_str().unwrap()).is_some());
        map.instance_info.insert("bmap_url".into(), "file:///etc/passwd".into());
        assert!(check(&map, &images).unwrap_err().to_string().contains("bmap_url"));
    }

    #[test]
    fn only_the_urls_of_this_deployment_are_allowed_and_the_agent_is_told_to_borrow() {
        let info = json!({"image_source": "http://h/dir/i.raw.gz", "image_checksum": "http://h/SHA512SUMS",
                          "configdrive": "http://h/drive", "image_signature": "http://h/dir/i.minisig",
                          "bmap_url": "http://h/i.bmap", "bmap_checksum": "b".repeat(64)});
        let mut node = node(info);
        node.driver_info.insert("image_signature_keys".into(), key().into());
        let plan = plan(&node, Path::new("/nonexistent")).unwrap();
        let image = &plan.args["image_info"];
        assert_eq!(image["transport"], "lent");
        assert_eq!(image["id"], "i.raw.gz");
        for url in [
            "http://h/dir/i.raw.gz",
            "http://h/SHA512SUMS",
            "http://h/drive",
            "http://h/dir/i.minisig",
            "http://h/i.bmap",
        ] {
            assert!(plan.allowance.origin(url).is_some(), "{url}");
        }
        assert!(plan.allowance.origin("http://h/other").is_none());
    }

    #[test]
    fn signatures_need_a_pinned_key_and_may_be_required() {
        let sum = "a".repeat(64);
        let with = |signature: Value, driver_info: Value| {
            let mut node = node(
                json!({"image_source": "http://h/i", "image_checksum": sum, "image_signature": signature}),
            );
            node.driver_info = driver_info.as_object().unwrap().clone();
            check(&node, Path::new("/nonexistent")).map_err(String::from)
        };
        let signature = || json!(signature_text("ED"));
        with(signature(), json!({"image_signature_keys": [key()]})).unwrap();
        assert!(with(signature(), json!({})).unwrap_err().contains("image_signature_keys"));
        let required = json!({"image_signature_keys": [key()], "require_image_signature": true});
        with(signature(), required.clone()).unwrap();
        let error = with(Value::Null, required).unwrap_err();
        assert!(error.starts_with("instance_info.image_signature is missing"), "{error}");
    }

    #[test]
    fn partition_images_bring_their_sizes() {
        let info = json!({"image_source": "http://h/i", "image_checksum": "a".repeat(64), "image_type": "partition",
                          "root_gb": 4});
        let plan = plan(&node(info), Path::new("/nonexistent")).unwrap();
        let image = &plan.args["image_info"];
        assert_eq!((&image["image_type"], &image["root_mb"]), (&json!("partition"), &json!(4096)));
        let whole =
            json!({"image_source": "http://h/i", "image_checksum": "a".repeat(64), "image_type": "ramdisk"});
        assert!(check_info(whole).unwrap_err().contains("image_type"));
    }
}
