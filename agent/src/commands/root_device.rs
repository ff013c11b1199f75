//! Which disk the image goes on (IPA contract §5.5, §6).

use serde_json::Value;
use tacit_hardware::hints::HintError;
use tacit_hardware::{RootDeviceHints, select_root_device};
use tacit_model::BlockDevice;

use crate::agent::Agent;
use crate::jobs::CommandError;

/// # Errors
///
/// `DeviceNotFound`, with what each disk lacked.
pub(super) fn choose(agent: &Agent, node: &Value) -> Result<BlockDevice, CommandError> {
    let hints = ["instance_info", "properties"]
        .iter()
        .map(|part| &node[*part]["root_device"])
        .find(|hints| hints.as_object().is_some_and(|hints| !hints.is_empty()));
    let skipped = skip_hints(node)
        .map_err(|error| CommandError::new("DeviceNotFound", format!("skip_block_devices: {error}")))?;
    let disks: Vec<BlockDevice> = agent
        .machine
        .disks()
        .into_iter()
        .filter(|disk| !skipped.iter().any(|hints| hints.matches(disk)))
        .collect();
    select_root_device(&disks, hints)
        .map_err(|error| CommandError::new(error.class(), CommandError::chain(&error)))
}

/// Hints of `properties.skip_block_devices`. Names of md volumes match no disk.
fn skip_hints(node: &Value) -> Result<Vec<RootDeviceHints>, HintError> {
    node["properties"]["skip_block_devices"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| entry.get("volume_name").is_none())
        .map(RootDeviceHints::from_json)
        .collect()
}
