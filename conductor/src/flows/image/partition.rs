//! What a partition image is installed with (IPA contract §2.2, §8.5), from Ironic's keys.

use serde_json::{Map, Value};

use super::fault::{InfoError, flag, number};
use crate::node::Node;

/// More than any disk has, and far from where MiB no longer fit into a `u64`.
const MOST_GB: u64 = 1 << 30;

/// The partition keys of `image_info`.
pub(super) fn partition(node: &Node) -> Result<Map<String, Value>, InfoError> {
    let info = &node.instance_info;
    let size = |key: &'static str, most: u64| match number(info.get(key)) {
        Ok(Some(size)) if size > most => Err(InfoError::instance(key, "is larger than any disk")),
        Ok(size) => Ok(size),
        Err(reason) => Err(InfoError::instance(key, reason)),
    };
    let root_gb = size("root_gb", MOST_GB)?.filter(|size| *size > 0).ok_or_else(|| {
        InfoError::instance("root_gb", "is missing: a partition image needs a size for its root partition")
    })?;
    let ephemeral_gb = size("ephemeral_gb", MOST_GB)?.unwrap_or_default();
    let preserve = flag(info.get("preserve_ephemeral"))
        .map_err(|reason| InfoError::instance("preserve_ephemeral", reason))?
        .unwrap_or_default();
    if preserve && ephemeral_gb == 0 {
        return Err(InfoError::instance(
            "preserve_ephemeral",
            "needs ephemeral_gb: there is nothing to preserve",
        ));
    }
    let mut keys = Map::new();
    keys.insert("root_mb".into(), (root_gb * 1024).into());
    keys.insert("swap_mb".into(), size("swap_mb", MOST_GB * 1024)?.unwrap_or_default().into());
    keys.insert("ephemeral_mb".into(), (ephemeral_gb * 1024).into());
    keys.insert("preserve_ephemeral".into(), preserve.into());
    if let Some(format) = super::fault::text(info, "ephemeral_format")? {
        if !["ext4", "vfat"].contains(&format) {
            return Err(InfoError::instance(
                "ephemeral_format",
                format!("{format:?} is neither ext4 nor vfat"),
            ));
        }
        keys.insert("ephemeral_format".into(), format.into());
    }
    let boot_mode = match super::fault::text(info, "deploy_boot_mode")? {
        Some(mode) => Some(mode.to_owned()),
        None if capability(node, "secure_boot").is_some_and(|value| value.eq_ignore_ascii_case("true")) => {
            Some("uefi".into())
        }
        None => capability(node, "boot_mode"),
    };
    let choices = [
        ("deploy_boot_mode", "boot_mode", boot_mode, ["uefi", "bios"]),
        ("disk_label", "disk_label", capability(node, "disk_label"), ["gpt", "msdos"]),
    ];
    for (key, capability, value, known) in choices {
        let Some(value) = value else { continue };
        if !known.contains(&value.as_str()) {
            let reason = format!("has {capability} {value:?}, neither {} nor {}", known[0], known[1]);
            return Err(InfoError::instance("capabilities", reason));
        }
        keys.insert(key.into(), value.into());
    }
    Ok(keys)
}

/// A capability of the instance, else of the node: an object, JSON in a text, or `name:value,name:value`.
fn capability(node: &Node, name: &str) -> Option<String> {
    [&node.instance_info, &node.properties].into_iter().find_map(|place| match place.get("capabilities")? {
        Value::String(text) => match serde_json::from_str(text) {
            Ok(object @ Value::Object(_)) => plain(&object[name]),
            _ => text
                .split(',')
                .filter_map(|pair| pair.split_once(':'))
                .find(|(key, _)| key.trim() == name)
                .map(|(_, value)| value.trim().to_owned()),
        },
        object => plain(&object[name]),
    })
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(info: Value, properties: Value) -> Result<Value, String> {
        let mut node = Node::new("redfish");
        node.instance_info = info.as_object().unwrap().clone();
        node.properties = properties.as_object().unwrap().clone();
        partition(&node).map(Value::Object).map_err(String::from)
    }

    #[test]
    fn sizes_as_ironic_has_them() {
        let info = json!({"root_gb": "10", "swap_mb": 512, "ephemeral_gb": 2, "ephemeral_format": "ext4",
                          "preserve_ephemeral": "true"});
        let wanted = json!({"root_mb": 10240, "swap_mb": 512, "ephemeral_mb": 2048, "preserve_ephemeral": true,
                            "ephemeral_format": "ext4"});
        assert_eq!(of(info, json!({})).unwrap(), wanted);
    }

    #[test]
    fn a_reason_names_its_key() {
        for (wrong, key) in [
            (json!({}), "root_gb"),
            (json!({"root_gb": 0}), "root_gb"),
            (json!({"root_gb": "ten"}), "root_gb"),
            (json!({"root_gb": u64::MAX}), "root_gb"),
            (json!({"root_gb": 1, "swap_mb": -1}), "swap_mb"),
            (json!({"root_gb": 1, "ephemeral_gb": 1.5}), "ephemeral_gb"),
            (json!({"root_gb": 1, "ephemeral_format": "ntfs"}), "ephemeral_format"),
            (json!({"root_gb": 1, "preserve_ephemeral": "perhaps"}), "preserve_ephemeral"),
            (json!({"root_gb": 1, "preserve_ephemeral": true}), "preserve_ephemeral"),
            (json!({"root_gb": 1, "capabilities": {"disk_label": "bsd"}}), "capabilities"),
        ] {
            let error = of(wrong, json!({})).unwrap_err();
            assert!(error.starts_with(&format!("instance_info.{key} ")), "{error}");
        }
    }

    #[test]
    fn capabilities_of_the_instance_come_first() {
        let properties = json!({"capabilities": "boot_mode:bios,disk_label:msdos"});
        let keys = of(json!({"root_gb": 1}), properties.clone()).unwrap();
        assert_eq!((&keys["deploy_boot_mode"], &keys["disk_label"]), (&json!("bios"), &json!("msdos")));
        let instance =
            json!({"root_gb": 1, "capabilities": "{\"boot_mode\": \"uefi\", \"disk_label\": \"gpt\"}"});
        let keys = of(instance, properties.clone()).unwrap();
        assert_eq!((&keys["deploy_boot_mode"], &keys["disk_label"]), (&json!("uefi"), &json!("gpt")));
        let secure = json!({"root_gb": 1, "capabilities": {"secure_boot": true}});
        assert_eq!(of(secure, properties).unwrap()["deploy_boot_mode"], "uefi");
        assert!(of(json!({"root_gb": 1}), json!({})).unwrap().get("deploy_boot_mode").is_none());
    }
}
