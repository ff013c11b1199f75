//! What the BMC says about the machine, to be compared with what the machine says about itself.

use std::collections::BTreeSet;

use super::client::Client;
use super::errors::BmcError;
use super::power::PowerState;
use super::resource::Fields;

/// A machine as its BMC describes it. Every field may be absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemIdentity {
    /// As the BMC writes it; may be byte-swapped against SMBIOS.
    pub uuid: Option<String>,
    /// On Dell the board's serial number; the service tag is [`SystemIdentity::sku`].
    pub serial: Option<String>,
    pub sku: Option<String>,
    pub manufacturer: Option<String>,
    pub model: Option<String>,
    /// Lower case, sorted. Often empty until the host has been started once.
    pub mac_addresses: Vec<String>,
    pub power: Option<PowerState>,
}

impl Client {
    pub(super) async fn identity(&self) -> Result<SystemIdentity, BmcError> {
        let system = self.system().await?.body;
        let text = |key| system.text(key).map(str::to_owned);
        Ok(SystemIdentity {
            uuid: text("UUID"),
            serial: text("SerialNumber"),
            sku: text("SKU"),
            manufacturer: text("Manufacturer"),
            model: text("Model"),
            mac_addresses: match system.link("EthernetInterfaces") {
                Some(uri) => self.mac_addresses(uri).await,
                None => Vec::new(),
            },
            power: PowerState::settled(&system),
        })
    }

    /// What can be read of it: a missing address is no reason to call the BMC unusable.
    async fn mac_addresses(&self, collection: &str) -> Vec<String> {
        let interfaces = match self.members(collection).await {
            Ok(interfaces) => interfaces,
            Err(error) => {
                tracing::warn!(%error, "the BMC does not tell the machine's MAC addresses");
                return Vec::new();
            }
        };
        let keys = ["MACAddress", "PermanentMACAddress"];
        let all: BTreeSet<String> = interfaces
            .iter()
            .flat_map(|(_, interface)| keys.into_iter().filter_map(|key| interface.body.text(key)))
            .map(str::to_lowercase)
            .collect();
        all.into_iter().collect()
    }
}
