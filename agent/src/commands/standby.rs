//! The `standby` extension (IPA contract §2.1, §2.5).

use serde_json::Value;

use super::table::Call;
use super::{image_info, steps, write_image};
use crate::jobs::CommandError;
use crate::power::Leave;

/// Asynchronous: writes an image as the `write_image` step does, with the node that was told last.
pub(super) fn prepare_image(call: &Call<'_>) -> Result<Value, CommandError> {
    let info = call.params.get("image_info").unwrap_or(&Value::Null);
    let configdrive = image_info::config_drive(call.params.get("configdrive"))?;
    let node = call.agent.node();
    call.agent.managers.ready(&node).map_err(|error| steps::from_step("prepare_image", &error))?;
    write_image::run(call.agent, call.job, &node, info, configdrive).map(Value::String)
}

/// Everything written is on its disk.
pub(super) fn sync(call: &Call<'_>) -> Result<Value, CommandError> {
    nix::unistd::sync();
    for disk in call.agent.machine.disks() {
        let node = call.agent.machine.device_node(&disk.name);
        let flushed = tacit_blockdev::Device::open(&node, tacit_blockdev::Access::Read)
            .and_then(|device| device.flush());
        if let Err(error) = flushed {
            tracing::warn!("{}: not flushed: {}", disk.name, CommandError::chain(&error));
        }
    }
    Ok(Value::Null)
}

pub(super) fn power_off(call: &Call<'_>) -> Result<Value, CommandError> {
    leave(call, Leave::PowerOff)
}

pub(super) fn run_image(call: &Call<'_>) -> Result<Value, CommandError> {
    leave(call, Leave::Reboot)
}

fn leave(call: &Call<'_>, how: Leave) -> Result<Value, CommandError> {
    call.agent.power.leave(how).map_err(|error| {
        CommandError::new("SystemRebootError", format!("cannot leave the machine: {error}"))
    })?;
    Ok(Value::Null)
}

pub(super) fn get_partition_uuids(call: &Call<'_>) -> Result<Value, CommandError> {
    Ok(Value::Object(call.agent.deployed().map(|deployed| deployed.uuids).unwrap_or_default()))
}
