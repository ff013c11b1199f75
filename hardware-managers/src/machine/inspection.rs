//! An inspection: several collectors, one document (IPA contract §7.2).

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::collectors::{self, Collected, Collector, CollectorError, LLDP_PATIENCE};
use super::view::Machine;
use crate::hints::select_root_device;

/// What is to be collected, and what only the caller knows.
pub struct Inspection<'a> {
    pub collectors: &'a [Collector],
    /// Name and version of the hardware managers.
    pub managers: Vec<(String, String)>,
    /// How long switches are waited for, all at once.
    pub lldp_patience: Duration,
    /// Makes the log bundle, base64.
    pub logs: Option<&'a dyn Fn() -> Result<String, String>>,
}

impl<'a> Inspection<'a> {
    /// Without logs, and with the usual patience.
    pub fn of(collectors: &'a [Collector]) -> Self {
        Self { collectors, managers: Vec::new(), lldp_patience: LLDP_PATIENCE, logs: None }
    }
}

impl std::fmt::Debug for Inspection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspection").field("collectors", &self.collectors).finish_non_exhaustive()
    }
}

impl Machine {
    /// Runs collectors and puts together what Ironic calls inspection data: `inventory`, `root_disk`,
    /// `boot_interface`, `configuration`, `error` and the collectors' own keys. A collector that fails adds a line to
    /// `error` and ends nothing. `logs` runs last wherever it stands.
    pub fn inspect(&self, inspection: &Inspection<'_>) -> Value {
        let mut data = Map::new();
        let mut errors: Vec<String> = Vec::new();
        let (last, first): (Vec<Collector>, Vec<Collector>) =
            inspection.collectors.iter().partition(|collector| **collector == Collector::Logs);
        for collector in first.into_iter().chain(last) {
            let (keys, problems) = self.run(collector, inspection);
            data.extend(keys);
            errors.extend(problems.iter().map(|problem| format!("collector {collector} failed: {problem}")));
        }
        place_lldp(&mut data);
        if let Some(Value::Object(configuration)) = data.get_mut("configuration") {
            let names: Vec<&str> = inspection.collectors.iter().map(|collector| collector.name()).collect();
            configuration.insert("collectors".to_owned(), json!(names));
            let managers = inspection.managers.iter();
            let managers = managers.map(|(name, version)| json!({"name": name, "version": version}));
            configuration.insert("managers".to_owned(), managers.collect());
        }
        let error = (!errors.is_empty())
            .then(|| format!("The following errors were encountered:\n* {}", errors.join("\n* ")));
        data.insert("error".to_owned(), json!(error));
        Value::Object(data)
    }

    /// The keys of one collector.
    ///
    /// # Errors
    ///
    /// What it could not have, when it has nothing.
    pub fn collect(&self, collector: Collector) -> Result<Value, Vec<CollectorError>> {
        let (keys, problems) = self.run(collector, &Inspection::of(&[collector]));
        if keys.is_empty() && !problems.is_empty() { Err(problems) } else { Ok(Value::Object(keys)) }
    }

    fn run(&self, collector: Collector, inspection: &Inspection<'_>) -> Collected {
        match collector {
            Collector::Default => (self.default_collector(), Vec::new()),
            Collector::PciDevices => collectors::pci_devices(self.roots()),
            Collector::NumaTopology => collectors::numa_topology(self.roots()),
            Collector::DmiDecode => collectors::dmi_decode(self.roots()),
            Collector::UsbDevices => collectors::usb_devices(self),
            Collector::Lldp => collectors::lldp(self, inspection.lldp_patience),
            Collector::Logs => {
                let bundle =
                    inspection.logs.map_or_else(|| Err("the agent keeps none".to_owned()), |logs| logs());
                match bundle {
                    Ok(bundle) => (Map::from_iter([("logs".to_owned(), bundle.into())]), Vec::new()),
                    Err(problem) => (Map::new(), vec![CollectorError::Logs { problem }]),
                }
            }
        }
    }

    fn default_collector(&self) -> Map<String, Value> {
        let inventory = self.inventory();
        let mut data = Map::new();
        // As in deployment without hints. A machine without a fitting disk is inspected all the same.
        match select_root_device(&inventory.disks, None) {
            Ok(disk) => {
                data.insert("root_disk".to_owned(), json!(disk));
            }
            Err(error) => tracing::warn!("no default root device: {error}"),
        }
        data.insert("boot_interface".to_owned(), json!(inventory.boot.pxe_interface));
        data.insert("configuration".to_owned(), json!({"collectors": [], "managers": []}));
        data.insert("inventory".to_owned(), json!(inventory));
        data
    }
}

/// What each switch said also stands at the interface that heard it.
fn place_lldp(data: &mut Map<String, Value>) {
    let Some(heard) = data.get("lldp_raw").cloned() else { return };
    let interfaces = data.get_mut("inventory").and_then(|inventory| inventory["interfaces"].as_array_mut());
    for interface in interfaces.into_iter().flatten() {
        let items = interface["name"].as_str().and_then(|name| heard.get(name));
        if let Some(items) = items {
            interface["lldp"] = items.clone();
        }
    }
}
