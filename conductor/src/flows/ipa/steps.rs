//! The steps of flows in IPA's terms.

use serde_json::{Map, Value, json};

use super::driver_info::{medium, settings};
use super::operate::IpaWork;
use crate::agents::one_line;
use crate::bmc::BootTarget;
use crate::flows::image;
use crate::flows::inspection::inspected;
use crate::flows::plan::FlowStep;
use crate::flows::steps::{Effect, Outcome, StepError, Work, done};

impl Work<'_> {
    /// Carries out a step that needs an agent, or the medium that boots it, where that agent is IPA; `None` for all
    /// other steps and nodes.
    pub(in crate::flows) async fn run_on_ipa(&self, step: &FlowStep) -> Result<Option<Outcome>, StepError> {
        if !step.waits_for_agent() && *step != FlowStep::InsertMedium {
            return Ok(None);
        }
        let Some(settings) = settings(self.node).map_err(StepError::Refused)? else { return Ok(None) };
        let ipa = IpaWork { work: self, settings };
        let outcome = match step {
            FlowStep::InsertMedium => ipa.insert_medium().await?,
            FlowStep::WaitForAgent => ipa.wait().await?,
            FlowStep::Inspect => ipa.inspect().await?,
            FlowStep::GetCleanSteps => ipa.get_clean_steps().await?,
            FlowStep::CleanStep { step } => ipa.clean_step(step).await?,
            FlowStep::WriteImage => ipa.write_image().await?,
            FlowStep::InstallBootloader => ipa.install_bootloader().await?,
            FlowStep::Sync => {
                ipa.operate("standby.sync", Map::new()).await?;
                Outcome {
                    effect: Effect::Nothing,
                    message: "everything is on the disk, by IPA's word".into(),
                }
            }
            _ => {
                let reason = format!("{} is nothing that this conductor can do with IPA", step.name());
                return Err(StepError::Refused(reason));
            }
        };
        Ok(Some(outcome))
    }
}

impl IpaWork<'_> {
    async fn insert_medium(&self) -> Result<Outcome, StepError> {
        let bmc = self.work.bmc()?;
        let message = match medium(self.work.node).map_err(StepError::Refused)? {
            Some(url) => {
                bmc.insert_media(url).await?;
                bmc.set_boot(BootTarget::Cd, true).await?;
                "driver_info.deploy_iso inserted"
            }
            None if bmc.can_power() => {
                bmc.set_boot(BootTarget::Pxe, true).await?;
                "no driver_info.deploy_iso: the network is to boot IPA"
            }
            None => "no driver_info.deploy_iso: how IPA is booted is the operator's affair",
        };
        done(Effect::Nothing, message)
    }

    async fn inspect(&self) -> Result<Outcome, StepError> {
        let inventory = self.operate("poll.get_hardware_info", Map::new()).await?;
        inspected(json!({ "inventory": inventory }), self.client()?.address())
    }

    async fn get_clean_steps(&self) -> Result<Outcome, StepError> {
        let answer = self.operate("clean.get_clean_steps", self.work.clean_params()?).await?;
        let version = answer.get("hardware_manager_version").filter(|version| version.is_object());
        self.work.offered(&answer, version.cloned())
    }

    async fn clean_step(&self, step: &Map<String, Value>) -> Result<Outcome, StepError> {
        let name = step.get("step").and_then(Value::as_str).unwrap_or_default();
        if step.get("args").is_some_and(|args| args["dry_run"] == Value::Bool(true)) {
            return Err(StepError::Refused(format!("IPA makes no plans: it would carry {name} out")));
        }
        let mut params = self.work.clean_params()?;
        params.insert("step".into(), Value::Object(step.clone()));
        params.insert("clean_version".into(), self.work.flow.clean_version.clone().unwrap_or_default());
        let answer = self.operate("clean.execute_clean_step", params).await?;
        echoed(&answer["clean_step"], step)?;
        done(Effect::Nothing, "done by IPA's word; nothing was proven")
    }

    async fn write_image(&self) -> Result<Outcome, StepError> {
        // IPA takes an image for written when it wrote one under the same id before: an id is used once.
        let args = image::ipa_image(self.work.node, &self.work.flow.operation_id())
            .map_err(|error| StepError::Refused(error.into()))?;
        let step = json!({"interface": "deploy", "step": "write_image", "args": args});
        let mut params = self.work.node_params()?;
        params.insert("step".into(), step.clone());
        let answer = self.operate("deploy.execute_deploy_step", params).await?;
        echoed(&answer["deploy_step"], step.as_object().expect("made above"))?;
        let said = answer["deploy_result"]["result"].as_str().unwrap_or("image written");
        let said = one_line(said.strip_prefix("prepare_image: ").unwrap_or(said));
        done(Effect::Nothing, format!("{said}, by IPA's word; nothing was read back"))
    }

    async fn install_bootloader(&self) -> Result<Outcome, StepError> {
        let params = json!({"root_uuid": null, "efi_system_part_uuid": null, "prep_boot_part_uuid": null,
                            "target_boot_mode": "uefi"});
        self.operate("image.install_bootloader", params.as_object().cloned().unwrap_or_default()).await?;
        done(Effect::Nothing, "IPA was asked for a boot entry; it does not tell whether it made one")
    }
}

/// A result is believed only for the step that was asked for.
fn echoed(answered: &Value, sent: &Map<String, Value>) -> Result<(), StepError> {
    let same = |key: &str| answered.get(key) == sent.get(key);
    if same("step") && same("interface") {
        return Ok(());
    }
    Err(StepError::Refused("IPA answers for another step than the one that it was asked for".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_other_steps_are_not_believed() {
        let sent = json!({"step": "erase_devices", "interface": "deploy", "priority": 10});
        let sent = sent.as_object().unwrap();
        echoed(&json!({"step": "erase_devices", "interface": "deploy"}), sent).unwrap();
        for other in [
            json!({"step": "erase_devices_metadata", "interface": "deploy"}),
            json!({"step": "erase_devices"}),
            json!(null),
        ] {
            assert!(echoed(&other, sent).is_err(), "{other}");
        }
    }
}
