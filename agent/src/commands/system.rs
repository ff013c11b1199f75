//! `system.lockdown` and `rescue.finalize_rescue` (IPA contract §2.5): after either, the API is closed for the rest of
//! this boot.

use serde_json::Value;

use super::rescue_user;
use super::table::Call;
use crate::access::Closed;
use crate::jobs::CommandError;

/// The answer is the last one that the machine gives.
pub(super) fn lockdown(call: &Call<'_>) -> Result<Value, CommandError> {
    close(call, Closed::LockedDown)
}

/// Gives the machine to the rescue user: his password is in place before the API closes.
pub(super) fn finalize_rescue(call: &Call<'_>) -> Result<Value, CommandError> {
    let password = match call.params.get("rescue_password") {
        None => "",
        Some(Value::String(password)) => password,
        Some(_) => return Err(CommandError::invalid_params("rescue_password must be a string")),
    };
    let hashed = match call.params.get("hashed") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(hashed)) => *hashed,
        Some(_) => return Err(CommandError::invalid_params("hashed must be true or false")),
    };
    rescue_user::admit(&call.agent.rescue, password, hashed)
        .map_err(|error| CommandError::execution(CommandError::chain(&error)))?;
    close(call, Closed::Rescued)
}

fn close(call: &Call<'_>, why: Closed) -> Result<Value, CommandError> {
    call.agent
        .access
        .close(why)
        .map_err(|error| CommandError::execution(format!("the API cannot be closed: {error}")))?;
    Ok(Value::Null)
}
