//! `flow.start_flow`: commands one after the other (IPA contract §2.5).

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tacit_model::Proof;
use tacit_protocol::error::DiskState;
use tacit_protocol::medium::ImagePolicy;

use super::table::{self, Call, LookupError};
use crate::jobs::{CommandError, Front};

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
    let mut done = Vec::new();
    for (name, params) in tasks(call.params)? {
        let touched = call.job.has_touched_disk();
        match task(call, name, params) {
            Ok(result) => done.push(json!({"command": name, "result": result})),
            Err(mut failure) => {
                // What the tasks before it did stays done, and their results are lost with the flow.
                failure.error.proofs.splice(0..0, proofs(&done));
                if touched && failure.error.disk == DiskState::Untouched {
                    failure.error.disk = DiskState::NotBootable;
                }
                return Err(failure);
            }
        }
    }
    // IPA tells nothing.
    let is_ipas = call.depth == 0 && call.job.front() == Front::V1;
    Ok(if is_ipas { Value::Null } else { done.into() })
}

fn task(call: &Call<'_>, name: &str, params: &Map<String, Value>) -> Result<Value, CommandError> {
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
            failure.error.proofs = error.error.proofs;
            failure.ending = error.ending;
            failure
        })
}

/// The proofs in what tasks returned, and in what flows among them did.
fn proofs(done: &[Value]) -> Vec<Proof> {
    let of = |task: &Value| match &task["result"] {
        Value::Array(flow) => proofs(flow),
        Value::Object(result) => result
            .values()
            .filter_map(|part| Vec::<Proof>::deserialize(&part["proofs"]).ok())
            .flatten()
            .collect(),
        _ => Vec::new(),
    };
    done.iter().flat_map(of).collect()
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

    #[test]
    fn proofs_are_found_in_the_results_of_steps_and_of_flows_in_flows() {
        let proof = |device: &str| Proof { device: device.to_owned(), ..Proof::default() };
        let erased =
            |device| json!({"clean_result": {"proofs": [proof(device)], "disks": 1}, "clean_step": {}});
        let inner = json!([{"command": "clean.execute_clean_step", "result": erased("/dev/sdb")}]);
        let done = [
            json!({"command": "standby.sync", "result": null}),
            json!({"command": "clean.execute_clean_step", "result": erased("/dev/sda")}),
            json!({"command": "flow.start_flow", "result": inner}),
            json!({"command": "poll.get_hardware_info", "result": {"disks": [], "bmc_address": null}}),
        ];
        let devices: Vec<String> = proofs(&done).into_iter().map(|proof| proof.device).collect();
        assert_eq!(devices, ["/dev/sda", "/dev/sdb"]);
    }
}
