//! The hardware manager that offers `write_image`.

use std::collections::BTreeMap;
use std::sync::Weak;

use serde_json::{Value, json};
use tacit_hardware::{HardwareManager, StepContext, StepError, SupportLevel};
use tacit_model::Step;
use tacit_protocol::error::DiskState;

use super::{image_info, write_image};
use crate::agent::Agent;
use crate::jobs::CommandError;

pub(super) const WRITE_IMAGE: &str = "write_image";

/// Offers imaging as a deploy step, beside the managers that know hardware.
pub struct ImagingHardwareManager {
    agent: Weak<Agent>,
}

impl ImagingHardwareManager {
    pub fn new(agent: Weak<Agent>) -> Self {
        Self { agent }
    }

    fn write(&self, context: &StepContext<'_>, dry_run: bool) -> Result<Value, CommandError> {
        let agent = self.agent.upgrade().ok_or_else(|| CommandError::execution("the agent is ending"))?;
        let job = agent.current().ok_or_else(|| CommandError::execution("no operation is running"))?;
        let info = context.args.get("image_info").unwrap_or(&Value::Null);
        let configdrive = context.args.get("configdrive");
        image_info::validate(info, &agent.image_policy())
            .and_then(|()| image_info::config_drive(configdrive))
            .and_then(|configdrive| match dry_run {
                true => write_image::plan(&agent, context.node, info, configdrive),
                false => write_image::run(&agent, &job, context.node, info, configdrive)
                    .map(|text| json!({"result": format!("prepare_image: {text}")})),
            })
            .inspect_err(|error| job.set_failure(error.clone()))
    }
}

impl HardwareManager for ImagingHardwareManager {
    fn name(&self) -> &str {
        "tacit_imaging"
    }

    fn class(&self) -> &str {
        "ImagingHardwareManager"
    }

    fn version(&self) -> &str {
        env!("CARGO_PKG_VERSION")
    }

    fn evaluate_hardware_support(&self) -> SupportLevel {
        SupportLevel::Generic
    }

    fn clean_steps(&self) -> Vec<Step> {
        Vec::new()
    }

    fn deploy_steps(&self) -> Vec<Step> {
        vec![Step {
            interface: "deploy".to_owned(),
            step: WRITE_IMAGE.to_owned(),
            priority: 0,
            reboot_requested: false,
            abortable: true,
            argsinfo: BTreeMap::new(),
        }]
    }

    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError> {
        if step != WRITE_IMAGE {
            return Err(StepError::Unsupported { manager: self.name().to_owned(), step: step.to_owned() });
        }
        let dry_run = context.dry_run()?;
        self.write(context, dry_run).map_err(|failure| StepError::Failed {
            class: "ImageWriteError",
            code: 500,
            message: "Error writing image to device",
            retry: failure.error.retry,
            touched: failure.error.disk != DiskState::Untouched,
            details: failure.error.details,
        })
    }
}
