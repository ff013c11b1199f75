//! Which nodes wait for an agent. Only where the bridge may read nodes.

use serde_json::Value;
use uuid::Uuid;

use super::client::{Ironic, IronicError};

/// The oldest version with all of the states below.
const NODES_VERSION: &str = "1.87";
/// States in which something is to be done for a node.
const WAITING: [&str; 5] = ["wait call-back", "clean wait", "service wait", "rescue wait", "inspect wait"];
const PAGE: &str = "1000";
/// More pages of one state than any site has.
const PAGES: usize = 100;

/// A node that waits for its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bridge) struct WaitingNode {
    pub(in crate::bridge) uuid: Uuid,
    pub(in crate::bridge) state: String,
    /// What the node says at the wanted place.
    pub(in crate::bridge) address: Option<String>,
}

impl Ironic {
    /// The nodes that wait now, one small request per state whatever the number of nodes. `address_field` is a path
    /// into the node, such as `driver_info/agent_address`.
    pub(in crate::bridge) async fn waiting(
        &self,
        address_field: Option<&str>,
    ) -> Result<Vec<WaitingNode>, IronicError> {
        let top = address_field.and_then(|path| path.split('/').next());
        let fields = match top {
            Some(top) if !matches!(top, "uuid" | "provision_state") => format!("uuid,provision_state,{top}"),
            _ => "uuid,provision_state".to_owned(),
        };
        let mut found = Vec::new();
        for state in WAITING {
            let mut marker: Option<String> = None;
            for _ in 0..PAGES {
                let mut query =
                    vec![("provision_state", state), ("fields", fields.as_str()), ("limit", PAGE)];
                if let Some(marker) = &marker {
                    query.push(("marker", marker));
                }
                let answer = self.get_signed("v1/nodes", &query, NODES_VERSION).await?;
                let nodes = answer["nodes"]
                    .as_array()
                    .ok_or_else(|| IronicError::Malformed("it lists no nodes".to_owned()))?;
                found.extend(nodes.iter().filter_map(|node| waiting(node, address_field)));
                let more = answer.get("next").is_some_and(Value::is_string);
                marker = nodes.last().and_then(|node| node["uuid"].as_str()).map(str::to_owned);
                if !more || marker.is_none() {
                    break;
                }
            }
        }
        Ok(found)
    }
}

fn waiting(node: &Value, address_field: Option<&str>) -> Option<WaitingNode> {
    let address = address_field.and_then(|path| {
        let mut value = node;
        for key in path.split('/') {
            value = value.get(key)?;
        }
        value.as_str().map(str::to_owned)
    });
    Some(WaitingNode {
        uuid: node["uuid"].as_str()?.parse().ok()?,
        state: node["provision_state"].as_str()?.to_owned(),
        address,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_address_is_found_by_its_path() {
        let uuid = "66666666-0000-4000-8000-000000000006";
        let node =
            json!({"uuid": uuid, "provision_state": "clean wait", "extra": {"ip": "192.0.2.1", "n": 1}});
        let of = |path| waiting(&node, Some(path)).unwrap().address;
        assert_eq!(of("extra/ip").as_deref(), Some("192.0.2.1"));
        assert_eq!((of("extra/n"), of("driver_info/x"), of("extra")), (None, None, None));
        assert!(waiting(&json!({"uuid": "x"}), None).is_none());
    }
}
