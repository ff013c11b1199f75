//! Writes an image (IPA contract §2.1, §8).

use std::sync::Arc;

use serde_json::Value;

use super::image_request::ImageRequest;
use super::root_device;
use crate::agent::Agent;
use crate::jobs::{CommandError, JobContext};

pub(super) fn run(
    agent: &Arc<Agent>,
    job: &Arc<JobContext>,
    node: &Value,
    image_info: &Value,
    configdrive: Option<&str>,
) -> Result<String, CommandError> {
    let disk = root_device::choose(agent, node)?;
    let request = ImageRequest::resolve(agent, job, image_info, configdrive)?;
    let got =
        request.fetcher.open(&request.urls[0], 0, None).map_err(|e| super::image_request::from_fetch(&e))?;
    Err(CommandError::execution(format!("{}{}{:?} {got:?}", disk.name, request.digest, request.config_drive)))
}
