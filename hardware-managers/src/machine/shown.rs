//! What hardware managers make of the lists of devices and of the inventory.

use std::sync::{Arc, OnceLock, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tacit_model::{BlockDevice, Inventory};

use super::disks::in_lsblk_order;
use crate::managers::{DeviceKind, InventoryPart, Loader};

/// The managers that all clones of a machine are seen through; everything is seen as it is before they are told.
#[derive(Clone, Debug, Default)]
pub(super) struct Shown {
    loader: Arc<OnceLock<Weak<Loader>>>,
}

impl Shown {
    pub(super) fn through(&self, loader: Weak<Loader>) {
        if self.loader.set(loader).is_err() {
            tracing::debug!("the machine is seen through other managers already");
        }
    }

    fn managers(&self) -> Option<Arc<Loader>> {
        self.loader.get()?.upgrade()
    }

    /// The disks that exist for everybody. Where an allow-list says which may exist, nobody adds to them.
    pub(super) fn disks(&self, found: Vec<BlockDevice>, listed: bool) -> Vec<BlockDevice> {
        let Some(managers) = self.managers() else { return found };
        if listed {
            return self.filter(DeviceKind::Disk, found);
        }
        let part = InventoryPart::Disks;
        match managers.inventory_part(part, &json(&found)) {
            Ok(None) => self.filter(DeviceKind::Disk, found),
            Ok(Some(told)) => match serde_json::from_value::<Vec<BlockDevice>>(told) {
                Ok(mut told) => {
                    told.sort_by(|a, b| in_lsblk_order(&a.name, &b.name));
                    self.filter(DeviceKind::Disk, told)
                }
                Err(error) => {
                    managers.fault(format!("list of disks of a hardware manager: {error}"));
                    Vec::new()
                }
            },
            Err(error) => {
                managers.fault(error.to_string());
                Vec::new()
            }
        }
    }

    /// What is left of a list of devices when the managers were asked.
    pub(super) fn filter<T: Serialize + DeserializeOwned>(&self, kind: DeviceKind, found: Vec<T>) -> Vec<T> {
        let Some(managers) = self.managers() else { return found };
        let devices = found.iter().map(json).collect();
        let shown: Result<Vec<T>, _> =
            managers.filter(kind, devices).into_iter().map(serde_json::from_value).collect();
        shown.unwrap_or_else(|error| {
            managers.fault(format!("device from a hardware manager: {error}"));
            Vec::new()
        })
    }

    /// The inventory, whose disks are shown already, with what the managers know better and without the interfaces that
    /// they hide. A part that cannot be had from them stays as it was found.
    pub(super) fn improve(&self, found: Inventory) -> Inventory {
        let Some(managers) = self.managers() else { return found };
        let mut inventory = json(&found);
        let mut best = found;
        for part in InventoryPart::WITHOUT_DISKS {
            let told = match managers.inventory_part(part, &inventory[part.key()]) {
                Ok(None) => continue,
                Ok(Some(told)) => told,
                Err(error) => {
                    tracing::warn!("inventory, {}: {error}", part.key());
                    continue;
                }
            };
            let before = std::mem::replace(&mut inventory[part.key()], told);
            match serde_json::from_value(inventory.clone()) {
                Ok(better) => best = better,
                Err(error) => {
                    tracing::warn!("inventory, {}: from a hardware manager: {error}", part.key());
                    inventory[part.key()] = before;
                }
            }
        }
        best.interfaces = self.filter(DeviceKind::Interface, std::mem::take(&mut best.interfaces));
        best
    }
}

fn json(value: impl Serialize) -> Value {
    serde_json::to_value(value).expect("devices are text, numbers and lists of them")
}
