//! What an inspection collects, under the names and keys of ironic-python-agent (IPA contract §7.2).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::roots::Roots;
use super::{dmi, firmware, lldp, numa, pci, usb};
use crate::machine::Machine;
use crate::managers::DeviceKind;

/// How long switches are waited for: they speak every 30 seconds.
pub const LLDP_PATIENCE: Duration = Duration::from_secs(30);

/// One part of an inspection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collector {
    /// The inventory, the default root disk and the boot interface.
    Default,
    PciDevices,
    NumaTopology,
    DmiDecode,
    UsbDevices,
    /// What switches say; waits for them.
    Lldp,
    /// The agent's log bundle. It belongs to the agent: [`Machine::collect`] has none.
    Logs,
}

/// No such collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown collector '{name}'; known are {}", Collector::ALL.map(|known| known.name()).join(", "))]
pub struct UnknownCollector {
    name: String,
}

/// What a collector could not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CollectorError {
    #[error("this machine has no {what} ({place})")]
    Absent { what: &'static str, place: String },
    #[error("cannot listen on {interface}: {problem}")]
    Deaf { interface: String, problem: String },
    #[error("{problem}")]
    Logs { problem: String },
}

impl Collector {
    /// All of them, `logs` last: it tells about the others.
    pub const ALL: [Self; 7] = [
        Self::Default,
        Self::PciDevices,
        Self::NumaTopology,
        Self::DmiDecode,
        Self::UsbDevices,
        Self::Lldp,
        Self::Logs,
    ];

    /// As it is named in `ipa-inspection-collectors`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::PciDevices => "pci-devices",
            Self::NumaTopology => "numa-topology",
            Self::DmiDecode => "dmi-decode",
            Self::UsbDevices => "usb-devices",
            Self::Lldp => "lldp",
            Self::Logs => "logs",
        }
    }
}

impl FromStr for Collector {
    type Err = UnknownCollector;

    fn from_str(name: &str) -> Result<Self, UnknownCollector> {
        Self::ALL
            .into_iter()
            .find(|known| known.name() == name)
            .ok_or_else(|| UnknownCollector { name: name.to_owned() })
    }
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Keys that a collector adds, and what it could not have; the one does not exclude the other.
pub(super) type Collected = (Map<String, Value>, Vec<CollectorError>);

fn one(key: &str, value: Value) -> Collected {
    (Map::from_iter([(key.to_owned(), value)]), Vec::new())
}

fn absent(what: &'static str, place: impl AsRef<std::path::Path>) -> Collected {
    let place = place.as_ref().display().to_string();
    (Map::new(), vec![CollectorError::Absent { what, place }])
}

pub(super) fn pci_devices(roots: &Roots) -> Collected {
    let folder = roots.sys.join("bus/pci/devices");
    if !folder.exists() {
        return absent("PCI bus", folder);
    }
    let functions = pci::list(roots).into_iter().map(|function| {
        json!({
            "vendor_id": function.vendor,
            "product_id": function.device,
            "class": function.class,
            "revision": function.revision(),
            "bus": function.address,
            "numa_node_id": function.numa_text(),
        })
    });
    one("pci_devices", functions.collect())
}

pub(super) fn numa_topology(roots: &Roots) -> Collected {
    match numa::topology(roots) {
        Some(topology) => one("numa_topology", topology),
        None => absent("NUMA nodes", roots.sys.join("devices/system/node")),
    }
}

pub(super) fn dmi_decode(roots: &Roots) -> Collected {
    match firmware::read(roots) {
        Some(tables) => one("dmi", dmi::decode(&tables)),
        None => absent("SMBIOS tables", roots.sys.join("firmware/dmi/tables")),
    }
}

pub(super) fn usb_devices(machine: &Machine) -> Collected {
    let devices = machine.filter(DeviceKind::Usb, usb::list(machine.roots()));
    one("usb_devices", json!(devices))
}

pub(super) fn lldp(machine: &Machine, patience: Duration) -> Collected {
    let interfaces: Vec<String> = machine
        .interfaces()
        .into_iter()
        // Frames come in at the cards, not at what is built upon them.
        .filter(|interface| interface.bond.is_none() && interface.vlan.is_none())
        .map(|interface| interface.name)
        .collect();
    let (heard, failed) = lldp::listen(&interfaces, patience);
    let (keys, _) = one("lldp_raw", json!(heard));
    let mut problems = Vec::new();
    for (interface, error) in failed {
        if error.kind() == std::io::ErrorKind::PermissionDenied {
            problems.push(CollectorError::Deaf { interface, problem: error.to_string() });
        } else {
            // A card without a cable is down; that is no failure of the inspection.
            tracing::info!("LLDP on {interface}: {error}");
        }
    }
    (keys, problems)
}
