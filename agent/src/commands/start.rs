//! Runs a command on a thread of its own.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::table::{Call, CommandSpec, Kind};
use crate::agent::Agent;
use crate::jobs::{CommandError, JobContext};
use crate::process::wait_for_devices;

/// Starts `spec`, which holds the agent's one place as `job`.
pub fn spawn(agent: &Arc<Agent>, spec: &'static CommandSpec, params: Map<String, Value>, job: JobContext) {
    let job = Arc::new(job);
    agent.set_current(Some(job.clone()));
    let worker = {
        let (agent, job) = (agent.clone(), job.clone());
        move || {
            wait_for_devices();
            // IPA shows a synchronous command that failed under its dotted name (IPA contract §1.4).
            let name_if_failed = (spec.kind == Kind::Sync).then_some(spec.name);
            agent.jobs.run(&job, name_if_failed, |job_context| {
                let outcome = (spec.run)(&Call { agent: &agent, params: &params, job: &job, depth: 0 });
                agent.set_current(None);
                outcome.map(|result| shape(spec.kind, job_context.bare_name(), result))
            });
        }
    };
    if let Err(error) = std::thread::Builder::new().name("operation".into()).spawn(worker) {
        let error = CommandError::execution(format!("no thread for the command: {error}"));
        agent.jobs.refuse(&job, error, spec.name);
    }
}

/// What `/v1` calls a command that was refused before it ran (IPA contract §1.4): the dotted name, but not for what
/// IPA finds out only when an asynchronous command has begun.
pub fn refused_name(spec: &'static CommandSpec, error: &CommandError) -> &'static str {
    let begun = spec.kind == Kind::Async && error.error.class == "CommandExecutionError";
    if begun { spec.name.split_once('.').map_or(spec.name, |(_, bare)| bare) } else { spec.name }
}

/// Plain texts are wrapped, as IPA does.
fn shape(kind: Kind, bare_name: &str, result: Value) -> Value {
    match (kind, result) {
        (Kind::Async, Value::String(text)) => json!({"result": format!("{bare_name}: {text}")}),
        (Kind::Sync, Value::String(text)) => json!({"result": text}),
        (_, other) => other,
    }
}
