//! NVIDIA (Mellanox) adapters: what their InfiniBand ports are called (IPA contract §4.5).

use std::path::PathBuf;

use serde_json::Value;
use tacit_model::Step;

use super::devices::{DeviceAnswer, DeviceKind};
use super::error::StepError;
use super::manager::{HardwareManager, StepContext, SupportLevel, unsupported};
use crate::machine::{Roots, infiniband_identity, names_in, read_text};

/// PCI vendor id of Mellanox.
const VENDOR: &str = "0x15b3";

/// Gives InfiniBand ports the address and the client identifier by which DHCP servers and Ironic know them.
#[derive(Clone, Debug)]
pub struct MellanoxDeviceHardwareManager {
    interfaces: PathBuf,
}

impl MellanoxDeviceHardwareManager {
    pub fn new(roots: &Roots) -> Self {
        Self { interfaces: roots.sys.join("class/net") }
    }
}

impl HardwareManager for MellanoxDeviceHardwareManager {
    fn name(&self) -> &str {
        "MellanoxDeviceHardwareManager"
    }

    fn class(&self) -> &str {
        "MellanoxDeviceHardwareManager"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn evaluate_hardware_support(&self) -> SupportLevel {
        let ours = names_in(&self.interfaces).into_iter().any(|name| {
            read_text(&self.interfaces.join(name).join("device/vendor")).as_deref() == Some(VENDOR)
        });
        if ours { SupportLevel::Mainline } else { SupportLevel::None }
    }

    fn clean_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    fn deploy_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    fn run_step(&self, step: &str, _: &StepContext<'_>) -> Result<Value, StepError> {
        Err(unsupported(self.name(), step))
    }

    fn filter_devices(&self, kind: DeviceKind, devices: &[Value]) -> Result<Vec<DeviceAnswer>, StepError> {
        if kind != DeviceKind::Interface {
            return Err(unsupported(self.name(), "filter_device"));
        }
        Ok(devices.iter().map(identify).collect())
    }
}

fn identify(interface: &Value) -> DeviceAnswer {
    let Some(identity) = interface["mac_address"].as_str().and_then(infiniband_identity) else {
        return DeviceAnswer::Pass;
    };
    let mut interface = interface.clone();
    interface["mac_address"] = identity.mac_address.into();
    interface["client_id"] = identity.client_id.into();
    DeviceAnswer::Replace(interface)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PORT: &str = "80:00:02:48:fe:80:00:00:00:00:00:00:F4:52:14:03:00:7b:cb:a1";

    #[test]
    fn other_interfaces_are_passed_on() {
        let manager = MellanoxDeviceHardwareManager::new(&Roots::default());
        let devices = [
            json!({"name": "ib0", "mac_address": PORT, "client_id": null}),
            json!({"name": "eth0", "mac_address": "f4:52:14:7b:cb:a1"}),
            json!({"name": "odd"}),
        ];
        let answers = manager.filter_devices(DeviceKind::Interface, &devices).unwrap();
        assert!(matches!(&answers[0], DeviceAnswer::Replace(port) if port["name"] == "ib0"
            && port["mac_address"] == "f4:52:14:7b:cb:a1"));
        assert_eq!(answers[1..], [DeviceAnswer::Pass, DeviceAnswer::Pass]);
        let disks = manager.filter_devices(DeviceKind::Disk, &devices);
        assert!(matches!(disks, Err(StepError::Unsupported { .. })));
    }
}
