//! A port as the API shows it, and setting its fields (API contract §2.6).

use serde_json::{Map, Value};

use super::call::Call;
use super::collection::{Fields, Selection};
use super::fault::Fault;
use super::values::{boolean, object, text};
use crate::port::{Port, normal_mac};

/// All fields in the order of Ironic's answers.
pub(super) const FIELDS: &Fields = &[
    ("uuid", 1),
    ("created_at", 1),
    ("updated_at", 1),
    ("address", 1),
    ("extra", 1),
    ("internal_info", 18),
    ("is_smartnic", 53),
    ("local_link_connection", 19),
    ("physical_network", 34),
    ("pxe_enabled", 19),
    ("node_uuid", 1),
    ("name", 88),
    ("description", 97),
    ("vendor", 100),
    ("category", 101),
    ("available_for_dynamic_portgroup", 111),
    ("portgroup_uuid", 24),
];

/// Fields of the short list.
pub(super) const LISTED: [&str; 2] = ["uuid", "address"];

/// Fields that a patch may change, `node_uuid` apart.
pub(super) const PATCHABLE: [&str; 11] = [
    "address",
    "extra",
    "is_smartnic",
    "local_link_connection",
    "physical_network",
    "pxe_enabled",
    "name",
    "description",
    "vendor",
    "category",
    "available_for_dynamic_portgroup",
];

pub(super) fn all(port: &Port) -> Map<String, Value> {
    let mut full = match serde_json::to_value(port) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    full.insert("portgroup_uuid".into(), Value::Null);
    full
}

pub(super) fn render(port: &Port, call: &Call, selection: &Selection) -> Value {
    let mut full = all(port);
    full.insert("links".into(), call.links(&format!("ports/{}", port.uuid)));
    Value::Object(selection.apply(full, FIELDS, call.version))
}

/// Sets one of the [`PATCHABLE`] fields; `Null` resets it to its default.
pub(super) fn set(port: &mut Port, field: &str, value: Value) -> Result<(), Fault> {
    let flag = |default: bool| if value.is_null() { Ok(default) } else { boolean(field, &value) };
    match field {
        "address" => port.address = address(&value)?,
        "is_smartnic" => port.is_smartnic = flag(false)?,
        "pxe_enabled" => port.pxe_enabled = flag(true)?,
        "available_for_dynamic_portgroup" => port.available_for_dynamic_portgroup = flag(true)?,
        "extra" => port.extra = object(field, value)?,
        "local_link_connection" => {
            let link = object(field, value)?;
            check_link(&link)?;
            port.local_link_connection = link;
        }
        "physical_network" => port.physical_network = text(field, value, 64)?,
        "name" => port.name = text(field, value, 255)?,
        "description" => port.description = text(field, value, 255)?,
        "vendor" => port.vendor = text(field, value, 32)?,
        "category" => port.category = text(field, value, 80)?,
        _ => {
            return Err(Fault::invalid(format!(
                "Additional properties are not allowed: '{field}' was unexpected"
            )));
        }
    }
    Ok(())
}

pub(super) fn address(value: &Value) -> Result<String, Fault> {
    let text = value.as_str().unwrap_or_default();
    normal_mac(text).ok_or_else(|| Fault::invalid(format!("Expected valid MAC address for address: {text}")))
}

fn check_link(link: &Map<String, Value>) -> Result<(), Fault> {
    const KEYS: [&str; 5] = ["port_id", "switch_id", "switch_info", "hostname", "network_type"];
    if let Some(unknown) = link.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Fault::invalid(format!("local_link_connection: '{unknown}' was unexpected")));
    }
    let has = |key: &str| link.contains_key(key);
    let unmanaged = link.len() == 1 && link.get("network_type").is_some_and(|kind| kind == "unmanaged");
    let whole = has("port_id") && (has("switch_id") || has("hostname"));
    if link.is_empty() || unmanaged || whole {
        return Ok(());
    }
    Err(Fault::invalid("local_link_connection needs port_id with switch_id, or port_id with hostname"))
}
