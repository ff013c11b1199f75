//! `poll.get_hardware_info` (IPA contract §7.1).

use serde_json::Value;

use super::table::Call;
use crate::jobs::CommandError;

pub(super) fn get_hardware_info(call: &Call<'_>) -> Result<Value, CommandError> {
    serde_json::to_value(call.agent.machine.inventory())
        .map_err(|error| CommandError::execution(format!("the inventory is no JSON: {error}")))
}
