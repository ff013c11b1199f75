//! `flow.start_flow`: commands one after the other (IPA contract §2.5).

use serde_json::{Map, Value};
use tacit_protocol::medium::ImagePolicy;

use super::table::{self, Call, LookupError};
use crate::jobs::CommandError;

/// Flows in flows in flows.
const DEEPEST: usize = 8;

pub(super) fn validate(params: &Map<String, Value>, _: &ImagePolicy) -> Result<(), CommandError> {
    let unknown = |error: LookupError, name: &str| match error {
        LookupError::Extension(text) => CommandError::new("RequestedObjectNotFoundError", text),
        LookupError::Command(_) => {
            let (extension, command) = name.split_once('.').unwrap_or((name, ""));
            CommandError::invalid_params(format!("Extension {extension} doesn't provide {command} method"))
        }
    };
    for (name, _) in tasks(params)? {
        if !name.contains('.') {
            let text = "Command name must be of the form <extension>.<name>";
            return Err(CommandError::new("InvalidCommandError", text));
        }
        table::find(name).map_err(|error| unknown(error, name))?;
    }
    Ok(())
}

pub(super) fn start_flow(call: &Call<'_>) -> Result<Value, CommandError> {
    if call.depth == DEEPEST {
        return Err(CommandError::execution("flows lie too deep in flows"));
    }
    for (name, params) in tasks(call.params)? {
        if call.job.cancelled() {
            return Err(CommandError::cancelled(format!("cancelled before {name}")));
        }
        let spec = table::find(name)
            .map_err(|error| CommandError::execution(format!("{name} was failed: {error:?}")))?;
        table::check(spec, params, &call.agent.image_policy())
            .and_then(|()| (spec.run)(&Call { params, depth: call.depth + 1, ..*call }))
            .map_err(|error| {
                // Whoever may be interested finds the cause in the log, as with IPA.
                tracing::error!("{name}: {error}");
                let mut failure = CommandError::execution(format!("{name} was failed"));
                failure.error.disk = error.error.disk;
                failure.error.retry = error.error.retry;
                failure.ending = error.ending;
                failure
            })?;
    }
    Ok(Value::Null)
}

type Task<'a> = (&'a String, &'a Map<String, Value>);

/// Names and parameters in their order.
fn tasks(params: &Map<String, Value>) -> Result<Vec<Task<'_>>, CommandError> {
    let wrong =
        || CommandError::invalid_params("flow must be a list of objects {\"extension.command\": {…}}");
    let flow = params.get("flow").and_then(Value::as_array).ok_or_else(wrong)?;
    let mut tasks = Vec::new();
    for task in flow {
        for (name, params) in task.as_object().ok_or_else(wrong)? {
            tasks.push((name, params.as_object().ok_or_else(wrong)?));
        }
    }
    Ok(tasks)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(flow: Value) -> Result<(), (String, u16)> {
        let params = json!({"flow": flow});
        validate(params.as_object().unwrap(), &ImagePolicy::default())
            .map_err(|error| (error.error.class, error.error.code))
    }

    #[test]
    fn flows_are_looked_at_before_they_begin() {
        check(json!([])).unwrap();
        check(json!([{"standby.sync": {}}, {"standby.sync": {}, "poll.get_hardware_info": {}}])).unwrap();
        for (flow, class, code) in [
            (json!(null), "InvalidCommandParamsError", 400),
            (json!(["standby.sync"]), "InvalidCommandParamsError", 400),
            (json!([{"standby.sync": null}]), "InvalidCommandParamsError", 400),
            (json!([{"standby.nope": {}}]), "InvalidCommandParamsError", 400),
            (json!([{"sync": {}}]), "InvalidCommandError", 400),
            (json!([{"nope.sync": {}}]), "RequestedObjectNotFoundError", 404),
        ] {
            assert_eq!(check(flow.clone()), Err((class.to_owned(), code)), "{flow}");
        }
    }
}
