//! The known IP: where a node's agent will answer, from data that the operator gave.

use std::net::{IpAddr, SocketAddr};

use serde_json::Value;
use tacit_protocol::{AGENT_PORT, network_data::NetworkData};

use crate::node::Node;

/// The address that a node's agent will listen on.
///
/// `driver_info.agent_address` (`ip`, `ip:port` or `[ipv6]:port`) wins: a DHCP server with a reservation serves the
/// ramdisk. Else the first static address of `network_data`.
pub(super) fn agent_address(node: &Node) -> Result<SocketAddr, String> {
    if let Some(text) = node.driver_info.get("agent_address").and_then(Value::as_str) {
        return parse(text).ok_or_else(|| format!("driver_info.agent_address is not an address: {text}"));
    }
    let data = network_data(node)?.ok_or(
        "the agent's address is not known: set network_data with a static address, or driver_info.agent_address",
    )?;
    let address = data
        .networks
        .iter()
        .filter(|network| !network.kind.contains("dhcp") && !network.kind.contains("slaac"))
        .find_map(|network| network.ip_address.as_deref())
        .ok_or("network_data has no network with a static ip_address")?;
    // IPv6 addresses may carry a prefix length.
    let bare = address.split('/').next().unwrap_or(address);
    let ip: IpAddr =
        bare.parse().map_err(|_| format!("network_data: ip_address is not an address: {address}"))?;
    Ok(SocketAddr::new(ip, AGENT_PORT))
}

/// The node's `network_data`, `None` when it is empty.
pub(super) fn network_data(node: &Node) -> Result<Option<NetworkData>, String> {
    if node.network_data.is_empty() {
        return Ok(None);
    }
    serde_json::from_value(Value::Object(node.network_data.clone()))
        .map(Some)
        .map_err(|error| format!("network_data: {error}"))
}

fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    text.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, AGENT_PORT))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(driver_info: Value, network_data: Value) -> Node {
        let mut node = Node::new("redfish");
        node.driver_info = driver_info.as_object().unwrap().clone();
        node.network_data = network_data.as_object().unwrap().clone();
        node
    }

    #[test]
    fn static_address_of_network_data() {
        let data = json!({"links": [], "services": [], "networks": [
            {"id": "a", "link": "l", "type": "ipv4_dhcp"},
            {"id": "b", "link": "l", "type": "ipv6", "ip_address": "2001:db8::20/64"}]});
        let address = agent_address(&node(json!({}), data)).unwrap();
        assert_eq!(address, "[2001:db8::20]:9999".parse().unwrap());
    }

    #[test]
    fn driver_info_wins() {
        let data = json!({"networks": [{"link": "l", "type": "ipv4", "ip_address": "192.0.2.1"}]});
        for (text, want) in [("192.0.2.7", "192.0.2.7:9999"), ("192.0.2.7:1", "192.0.2.7:1")] {
            let address = agent_address(&node(json!({"agent_address": text}), data.clone())).unwrap();
            assert_eq!(address, want.parse().unwrap());
        }
    }

    #[test]
    fn unknown_address_says_what_to_set() {
        let error = agent_address(&node(json!({}), json!({}))).unwrap_err();
        assert!(error.contains("network_data") && error.contains("agent_address"), "{error}");
        let dhcp = json!({"networks": [{"link": "l", "type": "ipv4_dhcp"}]});
        assert!(agent_address(&node(json!({}), dhcp)).is_err());
    }
}
