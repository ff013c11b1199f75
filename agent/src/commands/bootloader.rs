//! `image.install_bootloader` (IPA contract §2.6): an entry in the firmware's boot menu.

use serde_json::Value;

use super::root_device;
use super::table::Call;
use crate::jobs::CommandError;

pub(super) fn install_bootloader(call: &Call<'_>) -> Result<Value, CommandError> {
    let node = call.agent.node();
    let disk = root_device::choose(call.agent, &node)?;
    tracing::info!("{}", disk.name);
    Ok(Value::Null)
}
