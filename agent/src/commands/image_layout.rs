//! Which partitions a partition image is installed with (IPA contract §8.5).

use serde_json::Value;
use tacit_imaging::{Firmware, PartitionRequest, TableKind};
use tacit_protocol::image::PartitionInfo;

use crate::jobs::CommandError;

/// Reads sizes from `image_info`, boot mode and label from it or from the node's capabilities. `ramdisk_uefi` is what
/// this ramdisk was started by.
///
/// # Errors
///
/// `InvalidCommandParamsError` that names the key.
pub(super) fn layout(
    info: &PartitionInfo,
    node: &Value,
    ramdisk_uefi: bool,
) -> Result<PartitionRequest, CommandError> {
    let firmware = firmware(info, node, ramdisk_uefi)?;
    Ok(PartitionRequest {
        label: label(info, node, firmware)?,
        firmware,
        root_mib: info
            .root_mb
            .filter(|size| *size > 0)
            .ok_or_else(|| CommandError::invalid_params("Image 'root_mb' must be a positive number."))?,
        swap_mib: info.swap_mb.unwrap_or_default(),
        ephemeral_mib: info.ephemeral_mb.unwrap_or_default(),
        ephemeral_format: info.ephemeral_format.clone(),
        preserve_ephemeral: info.preserve_ephemeral,
    })
}

fn firmware(info: &PartitionInfo, node: &Value, ramdisk_uefi: bool) -> Result<Firmware, CommandError> {
    let secure = capability(node, "secure_boot").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if secure {
        return Ok(Firmware::Uefi);
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let asked = info
        .deploy_boot_mode
        .clone()
        .or_else(|| text(&node["instance_info"]["deploy_boot_mode"]))
        .or_else(|| capability(node, "boot_mode"))
        .or_else(|| text(&node["driver_internal_info"]["deploy_boot_mode"]))
        .filter(|mode| !mode.is_empty());
    match asked.as_deref() {
        Some("uefi") => Ok(Firmware::Uefi),
        Some("bios") => Ok(Firmware::Bios),
        Some(other) => {
            Err(CommandError::invalid_params(format!("boot mode {other:?} is neither uefi nor bios")))
        }
        None if ramdisk_uefi => Ok(Firmware::Uefi),
        None => Ok(Firmware::Bios),
    }
}

/// Firmware that wants an EFI system partition gets a GPT, whatever was asked for.
fn label(info: &PartitionInfo, node: &Value, firmware: Firmware) -> Result<TableKind, CommandError> {
    let asked = info.disk_label.clone().or_else(|| capability(node, "disk_label"));
    match asked.as_deref().filter(|label| !label.is_empty()) {
        Some(other) if !["gpt", "msdos"].contains(&other) => {
            Err(CommandError::invalid_params(format!("disk_label {other:?} is neither gpt nor msdos")))
        }
        Some("gpt") => Ok(TableKind::Gpt),
        _ if firmware == Firmware::Uefi => Ok(TableKind::Gpt),
        _ => Ok(TableKind::Dos),
    }
}

/// A capability of the instance, else of the node: an object, JSON in a text, or `name:value,name:value`.
fn capability(node: &Value, name: &str) -> Option<String> {
    ["instance_info", "properties"].into_iter().find_map(|part| match &node[part]["capabilities"] {
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

    fn info(more: &PartitionInfo) -> PartitionInfo {
        PartitionInfo { root_mb: Some(10), ..more.clone() }
    }

    fn of(more: &PartitionInfo, node: &Value, ramdisk_uefi: bool) -> (Firmware, TableKind) {
        let layout = layout(&info(more), node, ramdisk_uefi).unwrap();
        (layout.firmware, layout.label)
    }

    #[test]
    fn boot_mode_comes_from_the_nearest_that_says_one() {
        let none = PartitionInfo::default();
        assert_eq!(of(&none, &Value::Null, true), (Firmware::Uefi, TableKind::Gpt));
        assert_eq!(of(&none, &Value::Null, false), (Firmware::Bios, TableKind::Dos));
        let node = json!({"properties": {"capabilities": "cpu_vt:true,boot_mode:bios"}});
        assert_eq!(of(&none, &node, true).0, Firmware::Bios);
        let instance = json!({"instance_info": {"capabilities": "{\"boot_mode\": \"uefi\"}"},
                              "properties": {"capabilities": "boot_mode:bios"}});
        assert_eq!(of(&none, &instance, false).0, Firmware::Uefi);
        let told = PartitionInfo { deploy_boot_mode: Some("bios".into()), ..none.clone() };
        assert_eq!(of(&told, &instance, true).0, Firmware::Bios);
        let secure = json!({"instance_info": {"capabilities": {"secure_boot": "True"}}});
        assert_eq!(of(&told, &secure, false).0, Firmware::Uefi);
        let wrong = PartitionInfo { deploy_boot_mode: Some("openfirmware".into()), ..none };
        assert!(layout(&info(&wrong), &Value::Null, true).is_err());
    }

    #[test]
    fn labels() {
        let labelled = |label: &str| PartitionInfo { disk_label: Some(label.into()), ..Default::default() };
        assert_eq!(of(&labelled("gpt"), &Value::Null, false).1, TableKind::Gpt);
        assert_eq!(of(&labelled("msdos"), &Value::Null, false).1, TableKind::Dos);
        assert_eq!(of(&labelled("msdos"), &Value::Null, true).1, TableKind::Gpt);
        let node = json!({"properties": {"capabilities": "disk_label:gpt"}});
        assert_eq!(of(&PartitionInfo::default(), &node, false).1, TableKind::Gpt);
        assert!(layout(&info(&labelled("bsd")), &Value::Null, false).is_err());
    }

    #[test]
    fn sizes_are_taken_over() {
        let asked = PartitionInfo {
            root_mb: Some(10),
            swap_mb: Some(1),
            ephemeral_mb: Some(2),
            ephemeral_format: Some("vfat".into()),
            preserve_ephemeral: true,
            ..PartitionInfo::default()
        };
        let made = layout(&asked, &Value::Null, true).unwrap();
        assert_eq!((made.root_mib, made.swap_mib, made.ephemeral_mib), (10, 1, 2));
        assert_eq!(made.ephemeral_format.as_deref(), Some("vfat"));
        assert!(made.preserve_ephemeral);
        assert!(layout(&PartitionInfo::default(), &Value::Null, true).is_err());
    }
}
