//! Writes an image (IPA contract §2.1, §8).
use crate::agent::Agent;
use crate::jobs::{CommandError, JobContext};
use serde_json::Value;
use std::sync::Arc;

pub(super) fn run(
    agent: &Arc<Agent>,
    job: &Arc<JobContext>,
    node: &Value,
    image_info: &Value,
    configdrive: Option<&str>,
) -> Result<String, CommandError> {
    let disk = super::root_device::choose(agent, node)?;
    Err(CommandError::execution(format!("{}{}{image_info}{configdrive:?}", disk.name, job.id())))
}
