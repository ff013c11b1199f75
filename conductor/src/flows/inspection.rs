//! Inspection: what the agent finds becomes what `GET /v1/nodes/N/inventory` shows, the scheduler's properties and a
//! port (API contract §4.7).

use std::net::SocketAddr;

use serde_json::{Map, Value, json};

use super::steps::{Effect, Outcome, StepError, Work, done};
use crate::node::Node;
use crate::port::{Port, normal_mac};
use crate::store::{StoreError, Tx};

/// What an inspection found.
pub(super) struct Inspected {
    inventory: Value,
    /// What collectors found beyond the inventory, and `all_interfaces`, `valid_interfaces`, `macs`.
    plugin_data: Value,
    /// MAC address of the interface through which the agent was reached.
    reached_at: Option<String>,
}

impl Work<'_> {
    pub(super) async fn inspect(&self) -> Result<Outcome, StepError> {
        let collectors = &self.engine.config.inspection_collectors;
        let params = Map::from_iter([("collectors".to_owned(), json!(collectors))]);
        let operation = self.operate("poll.get_inspection_data", params, None).await?;
        let reached = self.client(&self.boot()?)?.address();
        inspected(operation.result.unwrap_or_default(), reached)
    }
}

/// What follows from what the agent at an address found.
pub(super) fn inspected(data: Value, reached: SocketAddr) -> Result<Outcome, StepError> {
    let inspected = Inspected::of(data, &reached.ip().to_string())?;
    let mut message = inventory_line(&inspected.inventory);
    if let Some(problems) = inspected.plugin_data["error"].as_str() {
        message = format!("{message}; {problems}");
    }
    done(Effect::Inspected(Box::new(inspected)), message)
}

impl Inspected {
    fn of(data: Value, reached: &str) -> Result<Self, StepError> {
        let refused = || StepError::Refused("the agent's answer is not an inventory".into());
        let Value::Object(mut data) = data else { return Err(refused()) };
        let inventory = data.remove("inventory").ok_or_else(refused)?;
        if !inventory["disks"].is_array() {
            return Err(refused());
        }
        let interfaces = inventory["interfaces"].as_array().ok_or_else(refused)?;
        let pxe = inventory["boot"]["pxe_interface"].as_str().and_then(normal_mac);
        let (mut all, mut valid, mut macs, mut reached_at) = (Map::new(), Map::new(), Vec::new(), None);
        for interface in interfaces {
            let name = interface["name"].as_str().unwrap_or_default();
            let mac = interface["mac_address"].as_str().and_then(normal_mac);
            let answered = ["ipv4_address", "ipv6_address"].iter().any(|key| interface[*key] == reached);
            let mut shown = interface.as_object().cloned().unwrap_or_default();
            shown.insert("pxe_enabled".into(), (answered || (pxe.is_some() && mac == pxe)).into());
            all.insert(name.to_owned(), Value::Object(shown.clone()));
            let Some(mac) = mac.filter(|_| name != "lo") else { continue };
            if answered {
                reached_at = Some(mac.clone());
            }
            macs.push(mac);
            valid.insert(name.to_owned(), Value::Object(shown));
        }
        data.insert("all_interfaces".into(), all.into());
        data.insert("valid_interfaces".into(), valid.into());
        data.insert("macs".into(), json!(macs));
        // Megabytes of text that nobody looks for here: an agent's logs are fetched by themselves.
        data.remove("logs");
        Ok(Self { inventory, plugin_data: Value::Object(data), reached_at })
    }

    /// Writes it down; a port is made for the interface that answered, if there is none anywhere.
    pub(super) fn store(&self, tx: &Tx<'_>, node: &mut Node) -> Result<(), StoreError> {
        node.boot_mode = self.inventory["boot"]["current_boot_mode"].as_str().map(str::to_owned);
        for (key, value) in properties(&self.inventory) {
            node.properties.insert(key.into(), value);
        }
        if let Some(address) = &self.reached_at
            && tx.port_by_ident(address)?.is_none()
        {
            tx.create_port(&Port::new(node.uuid, address.clone()))?;
        }
        tx.set_inventory(node.uuid, &self.inventory, &self.plugin_data)
    }
}

/// What inspection writes into `properties`: Ironic's scheduling facts.
fn properties(inventory: &Value) -> Vec<(&'static str, Value)> {
    let mut facts = Vec::new();
    if let Some(architecture) = inventory["cpu"]["architecture"].as_str() {
        facts.push(("cpu_arch", architecture.into()));
    }
    if let Some(count) = inventory["cpu"]["count"].as_u64() {
        facts.push(("cpus", count.into()));
    }
    let physical = inventory["memory"]["physical_mb"].as_u64();
    if let Some(mib) = physical.or(inventory["memory"]["total"].as_u64().map(|bytes| bytes >> 20)) {
        facts.push(("memory_mb", mib.into()));
    }
    facts
}

fn inventory_line(inventory: &Value) -> String {
    let count = |key: &str| inventory[key].as_array().map_or(0, Vec::len);
    let memory = inventory["memory"]["total"].as_u64().unwrap_or_default() >> 20;
    format!(
        "{} processors, {memory} MiB, {} disks, {} interfaces",
        inventory["cpu"]["count"],
        count("disks"),
        count("interfaces")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    fn data() -> Value {
        json!({
            "inventory": {
                "disks": [], "cpu": {"count": 2, "architecture": "x86_64"}, "memory": {"physical_mb": 512},
                "boot": {"current_boot_mode": "uefi", "pxe_interface": null},
                "interfaces": [
                    {"name": "lo", "mac_address": "00:00:00:00:00:00", "ipv4_address": "127.0.0.1"},
                    {"name": "eno1", "mac_address": "52:54:00:AA:00:01", "ipv4_address": "10.0.0.7"},
                    {"name": "eno2", "mac_address": "52:54:00:aa:00:02", "ipv4_address": null},
                ],
            },
            "pci_devices": [{"bus": "0000:00:02.0"}], "logs": "H4sI", "error": null,
        })
    }

    #[test]
    fn plugin_data_holds_what_the_inventory_does_not() {
        let found = Inspected::of(data(), "10.0.0.7").unwrap();
        assert_eq!(found.plugin_data["macs"], json!(["52:54:00:aa:00:01", "52:54:00:aa:00:02"]));
        assert_eq!(found.plugin_data["all_interfaces"]["eno1"]["pxe_enabled"], true);
        assert_eq!(found.plugin_data["all_interfaces"]["eno2"]["pxe_enabled"], false);
        assert_eq!(found.plugin_data["pci_devices"][0]["bus"], "0000:00:02.0");
        assert!(found.plugin_data.get("logs").is_none() && found.plugin_data.get("inventory").is_none());
        assert_eq!(found.reached_at.as_deref(), Some("52:54:00:aa:00:01"));
    }

    #[test]
    fn what_is_no_inventory_is_refused() {
        for answer in [json!(null), json!({}), json!({"inventory": {"disks": []}}), json!([1])] {
            assert!(Inspected::of(answer, "10.0.0.7").is_err());
        }
    }

    #[test]
    fn port_is_made_once_for_the_interface_that_answered() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let mut node = Node::new("manual");
        let found = Inspected::of(data(), "10.0.0.7").unwrap();
        let stored = store.transact(|tx| {
            tx.create_node(&node)?;
            found.store(tx, &mut node)?;
            found.store(tx, &mut node)?;
            tx.ports_of(node.uuid)
        });
        let addresses: Vec<String> = stored.unwrap().into_iter().map(|port| port.address).collect();
        assert_eq!(addresses, ["52:54:00:aa:00:01"]);
        assert_eq!(
            (node.properties["cpus"].clone(), node.properties["memory_mb"].clone()),
            (json!(2), json!(512))
        );
    }
}
