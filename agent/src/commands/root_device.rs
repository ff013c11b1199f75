//! Which disk the image goes on (IPA contract §5.5, §6).

use serde_json::Value;
use tacit_hardware::RootChoice;

use crate::agent::Agent;
use crate::jobs::CommandError;

/// # Errors
///
/// `DeviceNotFound`, with what each disk lacked, and for hints, a policy or a skip list that cannot be understood: these
/// must not lead to a disk.
pub(super) fn choose(agent: &Agent, node: &Value) -> Result<RootChoice, CommandError> {
    agent
        .machine
        .choose_root_device(node)
        .map_err(|error| CommandError::new(error.class(), CommandError::chain(&error)))
}
