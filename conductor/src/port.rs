//! The port record: a network interface of a node, in the field names of Ironic's API (API contract §2.6).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::store::now_iso;

/// A network interface of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Port {
    pub uuid: Uuid,
    /// MAC address, lower case with colons.
    pub address: String,
    pub node_uuid: Uuid,
    pub name: Option<String>,
    pub extra: Map<String, Value>,
    pub internal_info: Map<String, Value>,
    pub local_link_connection: Map<String, Value>,
    pub pxe_enabled: bool,
    pub is_smartnic: bool,
    pub physical_network: Option<String>,
    pub description: Option<String>,
    pub vendor: Option<String>,
    pub category: Option<String>,
    pub available_for_dynamic_portgroup: bool,
    pub created_at: String,
    pub updated_at: Option<String>,
}

impl Port {
    /// A port with Ironic's defaults. `address` as [`normal_mac`] gives it.
    pub fn new(node_uuid: Uuid, address: String) -> Self {
        Self {
            uuid: Uuid::new_v4(),
            address,
            node_uuid,
            name: None,
            extra: Map::new(),
            internal_info: Map::new(),
            local_link_connection: Map::new(),
            pxe_enabled: true,
            is_smartnic: false,
            physical_network: None,
            description: None,
            vendor: None,
            category: None,
            available_for_dynamic_portgroup: true,
            created_at: now_iso(),
            updated_at: None,
        }
    }
}

/// A MAC address in any common form, as lower case with colons; `None` when it is none.
pub fn normal_mac(text: &str) -> Option<String> {
    let digits: Vec<u8> = match text.len() {
        17 => {
            let separator = text.as_bytes()[2];
            let parts: Vec<&str> = text.split(char::from(separator)).collect();
            if !matches!(separator, b':' | b'-') || parts.len() != 6 || parts.iter().any(|p| p.len() != 2) {
                return None;
            }
            parts.concat().into_bytes()
        }
        14 => {
            let parts: Vec<&str> = text.split('.').collect();
            if parts.len() != 3 || parts.iter().any(|p| p.len() != 4) {
                return None;
            }
            parts.concat().into_bytes()
        }
        12 => text.as_bytes().to_vec(),
        _ => return None,
    };
    if digits.len() != 12 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pairs: Vec<String> =
        digits.chunks(2).map(|pair| String::from_utf8_lossy(pair).to_ascii_lowercase()).collect();
    Some(pairs.join(":"))
}

#[cfg(test)]
mod tests {
    use super::normal_mac;

    #[test]
    fn addresses_in_any_form_become_one() {
        for form in ["52:54:00:AA:00:01", "52-54-00-aa-00-01", "5254.00aa.0001", "525400AA0001"] {
            assert_eq!(normal_mac(form).as_deref(), Some("52:54:00:aa:00:01"), "{form}");
        }
        for wrong in ["", "n1", "52:54:00:aa:00", "52:54:00:aa:00:0g", "52:54-00:aa:00:01", "ü2540000aa01"] {
            assert_eq!(normal_mac(wrong), None, "{wrong}");
        }
    }
}
