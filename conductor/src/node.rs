//! The node record, in the field names of Ironic's API (API contract §2.1).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::hardware_types::{KINDS, hardware_type};
use crate::states::ProvisionState;
use crate::store::now_iso;

/// A machine as the conductor knows it. Serialises to the store; the API adds links and masks secrets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    pub uuid: Uuid,
    pub name: Option<String>,
    /// Hardware type: `redfish` or `manual`.
    pub driver: String,
    pub driver_info: Map<String, Value>,
    pub driver_internal_info: Map<String, Value>,
    pub properties: Map<String, Value>,
    pub instance_info: Map<String, Value>,
    pub instance_uuid: Option<Uuid>,
    pub instance_name: Option<String>,
    pub extra: Map<String, Value>,
    pub provision_state: ProvisionState,
    pub target_provision_state: Option<ProvisionState>,
    /// ISO 8601 with microseconds and offset, as all times here.
    pub provision_updated_at: Option<String>,
    /// `power on`, `power off` or not known.
    pub power_state: Option<String>,
    pub target_power_state: Option<String>,
    pub last_error: Option<String>,
    /// Host name of the conductor that works on the node.
    pub reservation: Option<String>,
    pub maintenance: bool,
    pub maintenance_reason: Option<String>,
    pub fault: Option<String>,
    pub clean_step: Map<String, Value>,
    pub deploy_step: Map<String, Value>,
    pub service_step: Map<String, Value>,
    pub inspection_started_at: Option<String>,
    pub inspection_finished_at: Option<String>,
    pub raid_config: Map<String, Value>,
    pub target_raid_config: Map<String, Value>,
    pub resource_class: Option<String>,
    /// Interface kind without the suffix (`power`, `deploy`, …) to implementation.
    pub interfaces: std::collections::BTreeMap<String, String>,
    pub traits: Vec<String>,
    pub conductor_group: String,
    pub automated_clean: Option<bool>,
    pub protected: bool,
    pub protected_reason: Option<String>,
    pub owner: Option<String>,
    pub lessee: Option<String>,
    pub description: Option<String>,
    pub retired: bool,
    pub retired_reason: Option<String>,
    pub network_data: Map<String, Value>,
    pub boot_mode: Option<String>,
    pub secure_boot: Option<bool>,
    pub shard: Option<String>,
    pub parent_node: Option<Uuid>,
    pub chassis_uuid: Option<Uuid>,
    pub disable_power_off: bool,
    pub console_enabled: bool,
    pub created_at: String,
    pub updated_at: Option<String>,
}

impl Node {
    /// A node in `enroll` with Ironic's defaults and the default interfaces of its hardware type; an unknown type
    /// has none.
    pub fn new(driver: &str) -> Self {
        let hardware = hardware_type(driver);
        let default = |kind: &str| Some((kind.to_owned(), hardware?.default(kind)?.to_owned()));
        let interfaces = KINDS.into_iter().filter_map(default).collect();
        Self {
            uuid: Uuid::new_v4(),
            name: None,
            driver: driver.to_owned(),
            driver_info: Map::new(),
            driver_internal_info: Map::new(),
            properties: Map::new(),
            instance_info: Map::new(),
            instance_uuid: None,
            instance_name: None,
            extra: Map::new(),
            provision_state: ProvisionState::Enroll,
            target_provision_state: None,
            provision_updated_at: None,
            power_state: None,
            target_power_state: None,
            last_error: None,
            reservation: None,
            maintenance: false,
            maintenance_reason: None,
            fault: None,
            clean_step: Map::new(),
            deploy_step: Map::new(),
            service_step: Map::new(),
            inspection_started_at: None,
            inspection_finished_at: None,
            raid_config: Map::new(),
            target_raid_config: Map::new(),
            resource_class: None,
            interfaces,
            traits: Vec::new(),
            conductor_group: String::new(),
            automated_clean: None,
            protected: false,
            protected_reason: None,
            owner: None,
            lessee: None,
            description: None,
            retired: false,
            retired_reason: None,
            network_data: Map::new(),
            boot_mode: None,
            secure_boot: None,
            shard: None,
            parent_node: None,
            chassis_uuid: None,
            disable_power_off: false,
            console_enabled: false,
            created_at: now_iso(),
            updated_at: None,
        }
    }
}
