//! Which devices are shown, and who knows the parts of the inventory best (IPA contract §4.2, §4.4).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::StepError;
use super::loaded::Loader;

/// Lists of devices that managers filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    Disk,
    Interface,
    Usb,
}

impl DeviceKind {
    /// As external managers are told it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Interface => "interface",
            Self::Usb => "usb",
        }
    }

    /// For errors and logs.
    pub(super) fn filter_method(self) -> &'static str {
        match self {
            Self::Disk => "filter_device (disk)",
            Self::Interface => "filter_device (interface)",
            Self::Usb => "filter_device (usb)",
        }
    }
}

/// What a manager says to one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceAnswer {
    /// Nothing: the next manager is asked.
    Pass,
    /// The device does not exist for anybody, cleaning included. The text is the reason, for the log.
    Hide(String),
    /// The device is to be shown like this. Its name stays.
    Replace(Value),
}

/// What is asked for as a whole, in the inventory's own keys; each is a method of IPA's managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InventoryPart {
    Interfaces,
    Cpu,
    Disks,
    Memory,
    BmcAddress,
    BmcV6address,
    BmcMac,
    SystemVendor,
    Boot,
}

impl InventoryPart {
    /// All but the disks, which are asked for by themselves.
    pub(crate) const WITHOUT_DISKS: [Self; 8] = [
        Self::Interfaces,
        Self::Cpu,
        Self::Memory,
        Self::BmcAddress,
        Self::BmcV6address,
        Self::BmcMac,
        Self::SystemVendor,
        Self::Boot,
    ];

    /// Key in the inventory.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Interfaces => "interfaces",
            Self::Cpu => "cpu",
            Self::Disks => "disks",
            Self::Memory => "memory",
            Self::BmcAddress => "bmc_address",
            Self::BmcV6address => "bmc_v6address",
            Self::BmcMac => "bmc_mac",
            Self::SystemVendor => "system_vendor",
            Self::Boot => "boot",
        }
    }

    /// The name of IPA's method.
    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Interfaces => "list_network_interfaces",
            Self::Cpu => "get_cpus",
            Self::Disks => "list_block_devices",
            Self::Memory => "get_memory",
            Self::BmcAddress => "get_bmc_address",
            Self::BmcV6address => "get_bmc_v6address",
            Self::BmcMac => "get_bmc_mac",
            Self::SystemVendor => "get_system_vendor_info",
            Self::Boot => "get_boot_info",
        }
    }
}

impl Loader {
    /// What is left of `devices` when every manager was asked, the best one first. One that fails leaves none: which
    /// ones it would have hidden is not known.
    pub(crate) fn filter(&self, kind: DeviceKind, devices: Vec<Value>) -> Vec<Value> {
        let mut answers: Vec<Option<DeviceAnswer>> = vec![None; devices.len()];
        for manager in self.managers() {
            let open: Vec<usize> = (0..devices.len()).filter(|&at| answers[at].is_none()).collect();
            if open.is_empty() {
                break;
            }
            let asked: Vec<Value> = open.iter().map(|&at| devices[at].clone()).collect();
            let told = match manager.filter_devices(kind, &asked) {
                Ok(told) => told,
                Err(StepError::Unsupported { .. }) => continue,
                Err(error) => {
                    self.fault(format!(
                        "{} of hardware manager {}: {error}",
                        kind.filter_method(),
                        manager.name()
                    ));
                    return Vec::new();
                }
            };
            if let Err(problem) = check(&asked, &told) {
                let method = kind.filter_method();
                self.fault(format!("{method} of hardware manager {}: {problem}", manager.name()));
                return Vec::new();
            }
            for (at, answer) in open.into_iter().zip(told) {
                if answer != DeviceAnswer::Pass {
                    tell(manager.name(), &devices[at], &answer);
                    answers[at] = Some(answer);
                }
            }
        }
        let shown = devices.into_iter().zip(answers).filter_map(|(device, answer)| match answer {
            None | Some(DeviceAnswer::Pass) => Some(device),
            Some(DeviceAnswer::Hide(_)) => None,
            Some(DeviceAnswer::Replace(other)) => Some(other),
        });
        shown.collect()
    }

    /// The part as the best manager that knows it tells it; `None` when nobody does.
    ///
    /// # Errors
    ///
    /// What the manager said.
    pub(crate) fn inventory_part(
        &self,
        part: InventoryPart,
        found: &Value,
    ) -> Result<Option<Value>, StepError> {
        match self.first(part.method(), |manager| manager.inventory_part(part, found)) {
            Ok(value) => Ok(Some(value)),
            Err(StepError::NoManager { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// One answer for each device, and no device under the name of another.
fn check(asked: &[Value], told: &[DeviceAnswer]) -> Result<(), String> {
    if asked.len() != told.len() {
        return Err(format!("{} answers for {} devices", told.len(), asked.len()));
    }
    for (device, answer) in asked.iter().zip(told) {
        if let DeviceAnswer::Replace(other) = answer
            && (!other.is_object() || other.get("name") != device.get("name"))
        {
            return Err(format!("the device {} may not become another one", name(device)));
        }
    }
    Ok(())
}

fn tell(manager: &str, device: &Value, answer: &DeviceAnswer) {
    let name = name(device);
    match answer {
        DeviceAnswer::Hide(reason) => {
            tracing::info!("{name} is hidden by hardware manager {manager}: {reason}")
        }
        _ => tracing::debug!("{name} is described by hardware manager {manager}"),
    }
}

fn name(device: &Value) -> &str {
    ["name", "handle"].iter().find_map(|key| device.get(*key)?.as_str()).unwrap_or("without a name")
}
