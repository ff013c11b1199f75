//! `poll.set_node_info`: a lookup answer, handed on by whoever asked Ironic (IPA contract §2.5, §3.2).

use serde_json::{Map, Value};
use tacit_protocol::medium::ImagePolicy;

use super::table::Call;
use crate::access::Closed;
use crate::ipa::Lookup;
use crate::jobs::CommandError;

pub(super) fn validate(params: &Map<String, Value>, _: &ImagePolicy) -> Result<(), CommandError> {
    lookup(params).map(|_| ())
}

/// Remembers the node. In IPA's place, the token of the answer replaces the one in force at once; an agent that has none
/// while Ironic gave it away before is not the one that Ironic knows, and locks the machine down, as IPA does.
pub(super) fn set_node_info(call: &Call<'_>) -> Result<Value, CommandError> {
    let lookup = lookup(call.params)?;
    call.agent.remember_node(lookup.node);
    if call.agent.ipa().is_none() {
        return Ok(Value::Null);
    }
    if let Some(enabled) = lookup.md5_enabled {
        call.agent.set_md5_enabled(enabled);
    }
    let kept = match lookup.token {
        Some(token) => call.agent.access.replace_token(token),
        None if lookup.given_away && call.agent.access.token().is_none() => {
            tracing::error!("Ironic gave this node's token to somebody else: locked down");
            call.agent.access.close(Closed::LockedDown)
        }
        None => Ok(()),
    };
    kept.map_err(|error| CommandError::execution(format!("the token cannot be kept: {error}")))?;
    Ok(Value::Null)
}

fn lookup(params: &Map<String, Value>) -> Result<Lookup<'_>, CommandError> {
    Lookup::of(params.get("node_info").unwrap_or(&Value::Null))
        .map_err(|error| CommandError::invalid_params(error.to_string()))
}
