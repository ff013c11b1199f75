//! Boot override: the next device to start from, in the request that the maker of the machine understands.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::client::Client;
use super::discovery::Vendor;
use super::errors::{BmcError, BmcErrorKind};
use super::resource::Fields;

const TARGET: &str = "BootSourceOverrideTarget";
const ENABLED: &str = "BootSourceOverrideEnabled";
const MODE: &str = "BootSourceOverrideMode";

/// Manufacturers (lower case, part of the name) whose BMCs take only a complete override.
const WANTS_EVERYTHING: [&str; 4] =
    ["american megatrends international", "ami", "asrockrack", "redfish_compatible"];

/// A device to start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootTarget {
    /// The virtual CD.
    Cd,
    /// The machine's own disk.
    Hdd,
    /// The network.
    Pxe,
}

impl BootTarget {
    /// The name in Redfish's `BootSource`.
    #[must_use]
    pub fn redfish_name(self) -> &'static str {
        match self {
            Self::Cd => "Cd",
            Self::Hdd => "Hdd",
            Self::Pxe => "Pxe",
        }
    }

    /// Redfish targets that mean this device, by preference, given those that the BMC offers (none: it does not say).
    fn choose(self, offered: &[String], vendor: &Vendor) -> Option<&'static str> {
        let wishes: &[&str] = match self {
            // On Supermicro `Cd` is a drive of the machine; other boards show virtual media as USB only.
            Self::Cd if vendor.is("supermicro") => &["UsbCd", "Cd", "Usb"],
            Self::Cd => &["Cd", "UsbCd", "Usb"],
            Self::Hdd => &["Hdd"],
            Self::Pxe => &["Pxe", "UefiHttp"],
        };
        if offered.is_empty() {
            return Some(self.redfish_name());
        }
        wishes.iter().copied().find(|wish| offered.iter().any(|offer| offer == wish))
    }
}

/// The boot section of a system and of its resource for future settings.
struct Override {
    system_uri: String,
    system: Value,
    /// URI and boot section; absent when the BMC applies settings in the system itself.
    settings: Option<(String, Value)>,
    vendor: Vendor,
}

impl Override {
    fn current(&self) -> &Value {
        &self.system["Boot"]
    }

    /// Allowable values of a property: the system's, else the settings resource's (iDRAC10).
    fn offered(&self, property: &str) -> Vec<String> {
        let key = format!("{property}@Redfish.AllowableValues");
        let settings = self.settings.as_ref().map(|(_, boot)| boot);
        std::iter::once(self.current())
            .chain(settings)
            .map(|boot| boot.texts(&key))
            .find(|values| !values.is_empty())
            .unwrap_or_default()
            .into_iter()
            .map(str::to_owned)
            .collect()
    }

    /// Every property with the URI to set it at: where the settings resource shows it, else the system.
    fn split(&self, boot: &Map<String, Value>) -> Vec<(&str, Map<String, Value>)> {
        let (mut later, mut now) = (Map::new(), Map::new());
        for (key, value) in boot {
            let in_settings = self.settings.as_ref().is_some_and(|(_, boot)| boot.get(key).is_some());
            if in_settings { &mut later } else { &mut now }.insert(key.clone(), value.clone());
        }
        let settings = self.settings.as_ref().map_or("", |(uri, _)| uri.as_str());
        [(settings, later), (self.system_uri.as_str(), now)]
            .into_iter()
            .filter(|(_, b)| !b.is_empty())
            .collect()
    }

    /// Requests for a target, the likeliest first.
    fn bodies(&self, target: &str, enabled: &str) -> Vec<Map<String, Value>> {
        let current = self.current();
        let mode = current.text(MODE).unwrap_or("UEFI");
        let minimal = Map::from_iter([(TARGET.to_owned(), json!(target))]);
        let mut lasting = minimal.clone();
        lasting.insert(ENABLED.to_owned(), json!(enabled));
        let mut full = lasting.clone();
        full.insert(MODE.to_owned(), json!(mode));
        let manufacturer = &self.vendor.manufacturer;
        if WANTS_EVERYTHING.iter().any(|name| contains_word(manufacturer, name))
            || self.vendor.is("supermicro")
        {
            // Supermicro falls back to `Once` and to legacy mode for whatever is left out.
            return vec![full, lasting];
        }
        // Some BMCs refuse a value that is set already; on others (Dell, HPE) the mode must not be touched.
        let first =
            if current.text(ENABLED) == Some(enabled) { vec![minimal, lasting] } else { vec![lasting] };
        let mode_is_fixed = self.vendor.is("dell") || self.vendor.is("hpe") || self.vendor.is("hewlett");
        first.into_iter().chain((!mode_is_fixed).then_some(full)).collect()
    }
}

/// `ami` as a word of its own, not inside another name.
fn contains_word(text: &str, name: &str) -> bool {
    if name.len() > 3 {
        return text.contains(name);
    }
    text.split(|c: char| !c.is_alphanumeric()).any(|word| word == name)
}

impl Client {
    pub(super) async fn set_boot(&self, target: BootTarget, once: bool) -> Result<(), BmcError> {
        let state = self.read_override().await?;
        if target == BootTarget::Cd
            && let Some(import) = self.idrac_import(&state.system, &state.vendor).await?
        {
            return self.set_idrac_boot_cd(&import).await;
        }
        let offered = state.offered(TARGET);
        let name = target.choose(&offered, &state.vendor).ok_or_else(|| {
            self.unsupported(format!(
                "boot device {} (offered: {})",
                target.redfish_name(),
                offered.join(", ")
            ))
        })?;
        let lasting = state.offered(ENABLED);
        let can_last = lasting.is_empty() || lasting.iter().any(|value| value == "Continuous");
        let wishes: &[&str] = match (once, can_last) {
            (true, _) => &["Once"],
            (false, true) => &["Continuous", "Once"],
            (false, false) => &["Once"],
        };
        let mut refusal = None;
        for (index, enabled) in wishes.iter().enumerate() {
            if !once && *enabled == "Once" {
                warn!(bmc = self.inner.address, "the BMC takes a boot device for the next start only");
            }
            for body in state.bodies(name, enabled) {
                match self.patch_boot(&state, &body).await {
                    Ok(()) => {
                        info!(bmc = self.inner.address, device = name, enabled, "boot device set");
                        return Ok(());
                    }
                    Err(error) if is_refusal(&error) => {
                        debug!(%error, index, "boot override refused in this form");
                        refusal = Some(error);
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        Err(refusal.expect("there is at least one body, and only a refusal goes on"))
    }

    pub(super) async fn clear_boot(&self) -> Result<(), BmcError> {
        let state = self.read_override().await?;
        let current = state.current();
        if current.text(ENABLED) == Some("Disabled") || current.text(TARGET) == Some("None") {
            return Ok(());
        }
        let disabled = Map::from_iter([(ENABLED.to_owned(), json!("Disabled"))]);
        let mut none = disabled.clone();
        none.insert(TARGET.to_owned(), json!("None"));
        let mut full = none.clone();
        full.insert(MODE.to_owned(), json!(current.text(MODE).unwrap_or("UEFI")));
        let offered = state.offered(TARGET);
        let has_none = offered.is_empty() || offered.iter().any(|value| value == "None");
        let bodies = if has_none { vec![none, disabled, full] } else { vec![disabled] };
        let mut refusal = None;
        for body in bodies {
            match self.patch_boot(&state, &body).await {
                Ok(()) => return Ok(()),
                Err(error) if is_refusal(&error) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(refusal.expect("there is at least one body, and only a refusal goes on"))
    }

    async fn read_override(&self) -> Result<Override, BmcError> {
        let system_uri = self.system_uri().await?.to_owned();
        let system = self.get(&system_uri).await?.body;
        let object = system.get("@Redfish.Settings").and_then(|settings| settings.link("SettingsObject"));
        let settings = match object {
            Some(uri) => self.find(uri).await?.map(|answer| (uri.to_owned(), answer.body["Boot"].clone())),
            None => None,
        };
        let vendor = self.vendor(&system).await?;
        Ok(Override { system_uri, system, settings, vendor })
    }

    async fn patch_boot(&self, state: &Override, boot: &Map<String, Value>) -> Result<(), BmcError> {
        for (uri, part) in state.split(boot) {
            let body = json!({"Boot": part});
            match self.patch_after_post(uri, &body).await {
                Err(error) if error.says("OperationSupportedInFutureStateURI") => {
                    let settings = state.settings.as_ref().map(|(uri, _)| uri.clone());
                    let future = settings.unwrap_or_else(|| format!("{}/SD", state.system_uri));
                    self.patch_after_post(&future, &body).await?;
                }
                result => result?,
            }
        }
        Ok(())
    }

    /// PATCHes, waiting while the firmware's self test keeps the BMC from it.
    async fn patch_after_post(&self, uri: &str, body: &Value) -> Result<(), BmcError> {
        let policy = self.timing().post;
        let mut delay: Duration = policy.delay;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.patch(uri, body).await {
                Err(error) if error.says("UnableToModifyDuringSystemPOST") && tries < policy.attempts => {
                    debug!(%error, tries, "the host is in its self test");
                    sleep(delay).await;
                    delay = (delay * 2).min(self.timing().post_delay_max);
                }
                result => return result.map(drop),
            }
        }
    }
}

/// Whether the request was refused for what it said, so that another form may do.
fn is_refusal(error: &BmcError) -> bool {
    matches!(error.kind(), BmcErrorKind::Refused { status: 400 | 405 | 409 | 422 | 500 | 501, .. })
        && !error.says("UnableToModifyDuringSystemPOST")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(manufacturer: &str, boot: Value, settings: Option<Value>) -> Override {
        let manufacturer = manufacturer.to_lowercase();
        Override {
            system_uri: "/s".into(),
            system: json!({"Boot": boot}),
            settings: settings.map(|boot| ("/s/sd".into(), boot)),
            vendor: Vendor { names: manufacturer.clone(), manufacturer },
        }
    }

    fn keys(bodies: &[Map<String, Value>]) -> Vec<usize> {
        bodies.iter().map(Map::len).collect()
    }

    #[test]
    fn bodies_by_manufacturer() {
        let boot = json!({ENABLED: "Once", MODE: "Legacy"});
        assert_eq!(keys(&state("Contoso", boot.clone(), None).bodies("Cd", "Once")), [1, 2, 3]);
        assert_eq!(keys(&state("Contoso", boot.clone(), None).bodies("Cd", "Continuous")), [2, 3]);
        assert_eq!(keys(&state("Dell Inc.", boot.clone(), None).bodies("Cd", "Continuous")), [2]);
        assert_eq!(keys(&state("HPE", boot.clone(), None).bodies("Cd", "Once")), [1, 2]);
        let full = state("Supermicro", boot.clone(), None).bodies("UsbCd", "Once");
        assert_eq!(full[0][MODE], "Legacy");
        assert_eq!(keys(&full), [3, 2]);
        assert_eq!(keys(&state("AMI", json!({}), None).bodies("Cd", "Once")), [3, 2]);
        assert_eq!(keys(&state("Miami Systems", boot, None).bodies("Cd", "Once")), [1, 2, 3]);
    }

    #[test]
    fn targets() {
        let vendor = |name: &str| Vendor { names: name.into(), manufacturer: name.into() };
        let list = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let cd = BootTarget::Cd;
        assert_eq!(cd.choose(&list(&["Cd", "UsbCd"]), &vendor("supermicro")), Some("UsbCd"));
        assert_eq!(cd.choose(&list(&["Cd"]), &vendor("supermicro")), Some("Cd"));
        assert_eq!(cd.choose(&list(&["Cd", "UsbCd"]), &vendor("contoso")), Some("Cd"));
        assert_eq!(cd.choose(&list(&["Pxe", "Usb"]), &vendor("nvidia")), Some("Usb"));
        assert_eq!(cd.choose(&[], &vendor("nvidia")), Some("Cd"));
        assert_eq!(BootTarget::Hdd.choose(&list(&["Pxe"]), &vendor("x")), None);
    }

    #[test]
    fn properties_go_where_they_are_shown() {
        let with_settings = state("x", json!({}), Some(json!({TARGET: "None"})));
        let body = Map::from_iter([(TARGET.to_owned(), json!("Cd")), (ENABLED.to_owned(), json!("Once"))]);
        let parts: Vec<_> =
            with_settings.split(&body).into_iter().map(|(uri, part)| (uri.to_owned(), part.len())).collect();
        assert_eq!(parts, [("/s/sd".to_owned(), 1), ("/s".to_owned(), 1)]);
        let offered =
            state("x", json!({}), Some(json!({"BootSourceOverrideTarget@Redfish.AllowableValues": ["Cd"]})));
        assert_eq!(offered.offered(TARGET), ["Cd"]);
    }
}
