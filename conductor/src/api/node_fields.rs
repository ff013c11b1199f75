//! Setting fields of a node from JSON, for creation and patches (API contract §2.1).

use serde_json::Value;

use super::fault::Fault;
use super::values::{boolean, node_name, object, text, uuid};
use crate::agents::IpaSettings;
use crate::hardware_types::{HARDWARE_TYPES, HardwareType, hardware_type};
use crate::node::Node;

/// Fields that a patch may change; interfaces come on top.
pub(super) const PATCHABLE: [&str; 24] = [
    "automated_clean",
    "chassis_uuid",
    "conductor_group",
    "description",
    "disable_power_off",
    "driver",
    "driver_info",
    "extra",
    "instance_info",
    "instance_name",
    "instance_uuid",
    "lessee",
    "maintenance",
    "name",
    "network_data",
    "owner",
    "parent_node",
    "properties",
    "protected",
    "protected_reason",
    "resource_class",
    "retired",
    "retired_reason",
    "shard",
];

/// The kind of interface that a field names: `boot_interface` → `boot`.
pub(super) fn interface_kind(field: &str) -> Option<&'static str> {
    let kind = field.strip_suffix("_interface")?;
    crate::hardware_types::KINDS.into_iter().find(|k| *k == kind)
}

/// Sets one field; `Null` resets it to its default. The field must be patchable, `uuid`, `console_enabled`,
/// `boot_mode` or `secure_boot`.
pub(super) fn set(node: &mut Node, field: &str, value: Value) -> Result<(), Fault> {
    if let Some(kind) = interface_kind(field) {
        return set_interface(node, kind, &value);
    }
    match field {
        "uuid" => {
            if let Some(wanted) = uuid(field, &value)? {
                node.uuid = wanted;
            }
        }
        "name" => node.name = node_name(value)?,
        "driver_info" => {
            let info = object(field, value)?;
            IpaSettings::check_form(&info).map_err(|error| Fault::invalid(error.to_string()))?;
            node.driver_info = info;
        }
        "extra" => node.extra = object(field, value)?,
        "instance_info" => node.instance_info = object(field, value)?,
        "properties" => {
            let properties = object(field, value)?;
            check_properties(&properties)?;
            node.properties = properties;
        }
        "network_data" => {
            let network = object(field, value)?;
            check_network(&network)?;
            node.network_data = network;
        }
        "instance_uuid" => node.instance_uuid = uuid(field, &value)?,
        "parent_node" => node.parent_node = uuid(field, &value)?,
        "chassis_uuid" => match uuid(field, &value)? {
            // There are no chassis here, so none can be named.
            Some(chassis) => return Err(Fault::invalid(format!("Chassis {chassis} could not be found."))),
            None => node.chassis_uuid = None,
        },
        "instance_name" => node.instance_name = text(field, value, 255)?.filter(|name| !name.is_empty()),
        "resource_class" => node.resource_class = text(field, value, 80)?,
        "description" => node.description = text(field, value, 4096)?,
        "owner" => node.owner = text(field, value, 255)?,
        "lessee" => node.lessee = text(field, value, 255)?,
        "shard" => node.shard = text(field, value, 255)?,
        "protected_reason" => node.protected_reason = text(field, value, 4096)?,
        "retired_reason" => node.retired_reason = text(field, value, 4096)?,
        "boot_mode" => node.boot_mode = text(field, value, 16)?,
        "conductor_group" => {
            node.conductor_group = text(field, value, 255)?.unwrap_or_default().to_ascii_lowercase();
        }
        "automated_clean" => node.automated_clean = optional_flag(field, &value)?,
        "secure_boot" => node.secure_boot = optional_flag(field, &value)?,
        "maintenance" => {
            node.maintenance = flag(field, &value)?;
            if !node.maintenance {
                node.maintenance_reason = None;
                node.fault = None;
            }
        }
        "protected" => {
            node.protected = flag(field, &value)?;
            if !node.protected {
                node.protected_reason = None;
            }
        }
        "retired" => {
            node.retired = flag(field, &value)?;
            if !node.retired {
                node.retired_reason = None;
            }
        }
        "disable_power_off" => node.disable_power_off = flag(field, &value)?,
        "console_enabled" => node.console_enabled = flag(field, &value)?,
        _ => {
            return Err(Fault::invalid(format!(
                "Additional properties are not allowed: '{field}' was unexpected"
            )));
        }
    }
    Ok(())
}

/// The hardware type that `value` names.
pub(super) fn driver(value: &Value) -> Result<&'static HardwareType, Fault> {
    let Value::String(name) = value else {
        return Err(Fault::invalid("Schema error for node: 'driver' is a required property and a string"));
    };
    hardware_type(name).ok_or_else(|| {
        let known: Vec<&str> = HARDWARE_TYPES.iter().map(|h| h.name).collect();
        Fault::invalid(format!(
            "No valid host was found. Reason: No conductor service registered which supports driver {name} for \
             conductor group \"\". Hardware types are: {}.",
            known.join(", ")
        ))
    })
}

fn set_interface(node: &mut Node, kind: &'static str, value: &Value) -> Result<(), Fault> {
    let field = format!("{kind}_interface");
    let hardware = driver(&Value::String(node.driver.clone()))?;
    let enabled = hardware.enabled(kind);
    let chosen = match text(&field, value.clone(), 255)?.filter(|name| !name.is_empty()) {
        None => hardware.default(kind).unwrap_or_default(),
        Some(name) => enabled.iter().find(|e| **e == name).ok_or_else(|| {
            Fault::invalid(format!(
                "Could not find the following interface in the 'ironic.hardware.interfaces.{kind}' entrypoint: \
                 {name}. Valid interfaces are {enabled:?}."
            ))
        })?,
    };
    node.interfaces.insert(kind.to_owned(), chosen.to_owned());
    Ok(())
}

fn flag(field: &str, value: &Value) -> Result<bool, Fault> {
    if value.is_null() { Ok(false) } else { boolean(field, value) }
}

fn optional_flag(field: &str, value: &Value) -> Result<Option<bool>, Fault> {
    if value.is_null() { Ok(None) } else { boolean(field, value).map(Some) }
}

fn check_properties(properties: &serde_json::Map<String, Value>) -> Result<(), Fault> {
    for key in ["memory_mb", "local_gb"] {
        let good = match properties.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Number(number)) => number.as_u64().is_some(),
            Some(Value::String(text)) => text.parse::<u64>().is_ok(),
            Some(_) => false,
        };
        if !good {
            return Err(Fault::invalid(format!("properties/{key} must be a non-negative integer.")));
        }
    }
    Ok(())
}

fn check_network(network: &serde_json::Map<String, Value>) -> Result<(), Fault> {
    if network.is_empty() {
        return Ok(());
    }
    for key in ["links", "networks", "services"] {
        if !network.get(key).is_some_and(Value::is_array) {
            return Err(Fault::invalid(format!(
                "Invalid network_data: '{key}' is a required property and a list"
            )));
        }
    }
    let document = Value::Object(network.clone());
    serde_json::from_value::<tacit_protocol::network_data::NetworkData>(document)
        .map(drop)
        .map_err(|error| Fault::invalid(format!("Invalid network_data: {error}")))
}
