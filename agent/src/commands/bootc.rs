//! `standby.execute_bootc_install` (IPA contract §2.7).

use serde_json::Value;

use super::table::Call;
use crate::jobs::CommandError;

/// Always refused: a bootc image installs itself, in a container with all rights on this machine, and this agent runs
/// nothing of an image. The disk is not touched.
pub(super) fn execute_bootc_install(call: &Call<'_>) -> Result<Value, CommandError> {
    let disabled = call.agent.ipa().is_some_and(|ipa| ipa.disable_bootc_deploy);
    Err(CommandError::execution(if disabled {
        "The bootc deploy interface is administratively disable. Deployment cannot proceed."
    } else {
        "bootc images are not installed: that would run the image's own programs with all rights on this machine"
    }))
}
