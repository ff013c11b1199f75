//! A node as the API shows it (API contract §2.1, appendix A).

use serde_json::{Map, Value};

use super::call::Call;
use super::collection::{Fields, Selection};
use super::mask::{MASK, mask};
use super::version::Version;
use crate::node::Node;

/// All fields in the order of Ironic's answers.
pub(super) const FIELDS: &Fields = &[
    ("uuid", 1),
    ("created_at", 1),
    ("updated_at", 1),
    ("automated_clean", 47),
    ("bios_interface", 40),
    ("boot_interface", 31),
    ("boot_mode", 75),
    ("clean_step", 7),
    ("conductor_group", 46),
    ("console_enabled", 1),
    ("console_interface", 31),
    ("disable_power_off", 95),
    ("deploy_interface", 31),
    ("deploy_step", 44),
    ("description", 51),
    ("driver", 1),
    ("driver_info", 1),
    ("driver_internal_info", 3),
    ("extra", 1),
    ("fault", 42),
    ("firmware_interface", 86),
    ("health", 109),
    ("inspection_finished_at", 6),
    ("inspection_started_at", 6),
    ("inspect_interface", 31),
    ("instance_info", 1),
    ("instance_name", 104),
    ("instance_uuid", 1),
    ("last_error", 1),
    ("lessee", 65),
    ("maintenance", 1),
    ("maintenance_reason", 1),
    ("management_interface", 31),
    ("name", 5),
    ("network_data", 66),
    ("network_interface", 20),
    ("owner", 50),
    ("parent_node", 83),
    ("power_interface", 31),
    ("power_state", 1),
    ("properties", 1),
    ("protected", 48),
    ("protected_reason", 48),
    ("provision_state", 1),
    ("provision_updated_at", 1),
    ("raid_config", 12),
    ("raid_interface", 31),
    ("rescue_interface", 38),
    ("reservation", 1),
    ("resource_class", 21),
    ("retired", 61),
    ("retired_reason", 61),
    ("secure_boot", 75),
    ("service_step", 87),
    ("shard", 82),
    ("storage_interface", 33),
    ("target_power_state", 1),
    ("target_provision_state", 1),
    ("target_raid_config", 12),
    ("traits", 37),
    ("vendor_interface", 31),
    ("conductor", 49),
    ("allocation_uuid", 52),
    ("chassis_uuid", 1),
];

/// Link lists of full views.
const SUB_RESOURCES: &Fields = &[("ports", 1), ("states", 14), ("portgroups", 24), ("volume", 32)];

/// Fields of the short list.
pub(super) const LISTED: [&str; 6] =
    ["uuid", "instance_uuid", "maintenance", "power_state", "provision_state", "name"];

/// One field of a node, for sorting.
pub(super) fn field(node: &Node, field: &str) -> Value {
    all(node, "").remove(field).unwrap_or(Value::Null)
}

/// What `selection` shows of a node to a request.
pub(super) fn render(node: &Node, conductor: &str, call: &Call, selection: &Selection) -> Value {
    let mut full = all(node, conductor);
    for secret in ["driver_info", "driver_internal_info", "instance_info"] {
        if let Some(Value::Object(map)) = full.get_mut(secret) {
            mask(map);
        }
    }
    if let Some(url) = full.get_mut("instance_info").and_then(|info| info.get_mut("image_url")) {
        *url = MASK.into();
    }
    for state in ["provision_state", "target_provision_state"] {
        full.entry(state).and_modify(|value| translate_state(value, call.version));
    }
    let path = format!("nodes/{}", node.uuid);
    full.insert("links".to_owned(), call.links(&path));
    let mut shown = selection.apply(full, FIELDS, call.version);
    if *selection == Selection::All {
        for (name, _) in SUB_RESOURCES.iter().filter(|(_, since)| call.version >= Version(*since)) {
            shown.insert((*name).to_owned(), call.links(&format!("{path}/{name}")));
        }
    }
    Value::Object(shown)
}

/// States under the names that older versions know.
pub(super) fn translate_state(value: &mut Value, version: Version) {
    if version < Version(2) && value == "available" {
        *value = Value::Null;
    }
    if version < Version(39) && value == "inspect wait" {
        *value = "inspecting".into();
    }
}

fn all(node: &Node, conductor: &str) -> Map<String, Value> {
    let mut full = match serde_json::to_value(node) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    full.remove("interfaces");
    for (kind, implementation) in &node.interfaces {
        full.insert(format!("{kind}_interface"), implementation.clone().into());
    }
    full.insert("conductor".to_owned(), conductor.into());
    full.insert("allocation_uuid".to_owned(), Value::Null);
    full.insert("health".to_owned(), Value::Null);
    full
}
