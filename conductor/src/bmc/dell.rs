//! Dell's older BMCs, whose `Cd` means a drive of the machine and never the virtual one.

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{debug, info};

use super::client::Client;
use super::discovery::Vendor;
use super::errors::BmcError;
use super::resource::Fields;

/// First firmware of iDRAC9 whose `Cd` is the virtual drive.
const FIRST_GOOD_MAJOR: u32 = 6;
/// iDRAC10 numbers its firmware from 1 again and knows nothing of this import.
const IDRAC10_GENERATION: u32 = 17;

/// "Start once from the virtual CD". The BMC is particular about white space between the elements.
const BOOT_VIRTUAL_CD: &str = concat!(
    "<SystemConfiguration><Component FQDD=\"iDRAC.Embedded.1\">",
    "<Attribute Name=\"ServerBoot.1#BootOnce\">Enabled</Attribute>",
    "<Attribute Name=\"ServerBoot.1#FirstBootDevice\">VCD-DVD</Attribute>",
    "</Component></SystemConfiguration>",
);

/// The number before the `G` in a Dell manager's model (`16G Monolithic`).
fn generation(manager: &Value) -> Option<u32> {
    let model = manager.text("Model")?;
    let digits: String = model.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Whether this is an iDRAC10 or later. Only the model tells: firmware numbers started anew.
pub(super) fn is_idrac10(manager: &Value) -> bool {
    generation(manager).is_some_and(|generation| generation >= IDRAC10_GENERATION)
}

/// The configuration import of an iDRAC that is too old for the standard way; `None` for all others.
fn old_idrac(manager: &Value) -> Option<String> {
    if is_idrac10(manager) {
        return None;
    }
    let major: u32 = manager.text("FirmwareVersion")?.split('.').next()?.parse().ok()?;
    if major >= FIRST_GOOD_MAJOR {
        return None;
    }
    let actions = manager.get("Actions")?.get("Oem")?;
    // The prefix of the action's name changed between firmware versions.
    let (_, action) = actions.as_object()?.iter().find(|(name, _)| {
        name.ends_with("OemManager.ImportSystemConfiguration")
            || name.ends_with("EID_674_Manager.ImportSystemConfiguration")
    })?;
    action.text("target").map(str::to_owned)
}

impl Client {
    /// Where to import the configuration on a system whose `Cd` is not the virtual one.
    pub(super) async fn idrac_import(
        &self,
        system: &Value,
        vendor: &Vendor,
    ) -> Result<Option<String>, BmcError> {
        if !vendor.is("dell") {
            return Ok(None);
        }
        Ok(self.managers(system).await?.first().and_then(old_idrac))
    }

    /// Sets the virtual CD for the next start by importing a configuration, waiting while another job runs.
    pub(super) async fn set_idrac_boot_cd(&self, target: &str) -> Result<(), BmcError> {
        let body = json!({"ShareParameters": {"Target": ["ALL"]}, "ImportBuffer": BOOT_VIRTUAL_CD});
        let start = Instant::now();
        loop {
            match self.post(target, Some(&body), self.timing().request).await {
                Ok(answer) => {
                    self.follow_task(&answer, self.timing().soft_power).await?;
                    info!(
                        bmc = self.inner.address,
                        "boot device set to the virtual CD by configuration import"
                    );
                    return Ok(());
                }
                Err(error) if is_occupied(&error) && start.elapsed() < self.timing().soft_power => {
                    debug!(%error, "configuration import refused for now");
                    sleep(self.timing().restart_settle).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Whether the import has to wait for another job.
fn is_occupied(error: &BmcError) -> bool {
    error.retryable()
        || (error.status() == Some(400) && error.body().is_some_and(|body| body.mentions("job")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_firmware_of_old_generations_needs_the_import() {
        let action = "OemManager.v1_0_0#OemManager.ImportSystemConfiguration";
        let manager = |model: &str, version: &str| json!({"Model": model, "FirmwareVersion": version, "Actions": {"Oem": {action: {"target": "/import"}}}});
        assert_eq!(old_idrac(&manager("14G Monolithic", "4.22.00.00")).as_deref(), Some("/import"));
        assert_eq!(old_idrac(&manager("15G Monolithic", "6.00.30.00")), None);
        assert_eq!(old_idrac(&manager("17G Monolithic", "1.10.05.00")), None);
        assert_eq!(old_idrac(&json!({"FirmwareVersion": "4.22.00.00"})), None);
        assert_eq!(old_idrac(&json!({})), None);
    }
}
