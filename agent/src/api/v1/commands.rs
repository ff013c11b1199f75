//! Commands, in the order of IPA contract §1.5. A caller's certificate stands for the token.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::{Response, StatusCode, Uri};
use serde_json::{Map, Value, json};

use super::super::body;
use super::super::fault::{self, Refusal};
use super::super::json::respond;
use super::super::{gate, query};
use crate::agent::Agent;
use crate::commands::{self, CommandSpec, Kind, LookupError};
use crate::jobs::{Begun, CommandError, Front, NewJob};
use crate::tls::Peer;

fn wants_wait(uri: &Uri) -> bool {
    query::value(uri.query(), "wait").is_some_and(|wait| wait.eq_ignore_ascii_case("true"))
}

pub(super) async fn list(
    State(agent): State<Arc<Agent>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
) -> Response<Body> {
    if let Err(refusal) = gate::check(&agent, peer, &uri) {
        return *refusal;
    }
    let commands: Vec<_> = agent.jobs.list(Front::V1).iter().map(|record| record.to_command()).collect();
    respond(StatusCode::OK, &json!({"commands": commands}))
}

pub(super) async fn show(
    State(agent): State<Arc<Agent>>,
    Extension(peer): Extension<Peer>,
    uri: Uri,
) -> Response<Body> {
    let id = query::decode_segment(uri.path().rsplit('/').next().unwrap_or_default());
    if let Err(refusal) = gate::check(&agent, peer, &uri) {
        return *refusal;
    }
    answer(&agent, &id, wants_wait(&uri)).await
}

pub(super) async fn post(
    State(agent): State<Arc<Agent>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response<Body> {
    let wait = wants_wait(request.uri());
    if let Err(refusal) = gate::check(&agent, peer, request.uri()) {
        return *refusal;
    }
    let parsed = match body::read(request).await {
        Ok(bytes) => body::parse(&bytes).and_then(name_and_params),
        Err(refusal) => Err(refusal),
    };
    let (name, params) = match parsed {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let turn = agent.turn.lock().await;
    let (id, run_out) = match start(&agent, &name, params) {
        Ok(started) => started,
        Err(refusal) => return *refusal,
    };
    if run_out {
        // A synchronous command keeps its turn until it is over.
        agent.jobs.wait(Front::V1, &id).await;
    }
    drop(turn);
    answer(&agent, &id, wait).await
}

/// Starts a command; returns its id and whether it is a synchronous one.
fn start(agent: &Arc<Agent>, name: &str, params: Map<String, Value>) -> Result<(String, bool), Refusal> {
    if !name.contains('.') {
        let error =
            CommandError::new("InvalidCommandError", "Command name must be of the form <extension>.<name>");
        return Err(Box::new(fault::command(&error)));
    }
    if let Some((_, running)) = agent.jobs.running() {
        return Err(Box::new(fault::busy(&crate::jobs::Busy { running })));
    }
    let spec: &'static CommandSpec = commands::find(name).map_err(|error| {
        Box::new(match error {
            LookupError::Extension(text) => fault::fault(StatusCode::NOT_FOUND, format!("Not found: {text}")),
            LookupError::Command(text) => fault::command(&CommandError::new("InvalidCommandError", text)),
        })
    })?;
    let validity = commands::check(spec, &params, &agent.image_policy());
    if let Err(error) = &validity
        && error.error.code == 400
    {
        return Err(Box::new(fault::command(error)));
    }
    let id = uuid::Uuid::new_v4().to_string();
    let job = NewJob {
        id: id.clone(),
        front: Front::V1,
        command: spec.name.to_owned(),
        request_digest: String::new(),
    };
    let begun = agent.jobs.begin(job).map_err(|busy| Box::new(fault::busy(&busy)))?;
    match (begun, validity) {
        (Begun::Running(context), Ok(())) => commands::spawn(agent, spec, params, *context),
        (Begun::Running(context), Err(error)) => {
            let shown_name = commands::refused_name(spec, &error);
            agent.jobs.refuse(&context, error, shown_name);
        }
        (Begun::Failed, _) => {}
    }
    Ok((id, spec.kind == Kind::Sync))
}

async fn answer(agent: &Agent, id: &str, wait: bool) -> Response<Body> {
    let record = if wait { agent.jobs.wait(Front::V1, id).await } else { agent.jobs.get(Front::V1, id) };
    match record {
        Some(record) => respond(StatusCode::OK, &record.to_command()),
        None => {
            fault::fault(StatusCode::NOT_FOUND, format!("Not found: Command Result with id {id} not found."))
        }
    }
}

/// `name` and `params`, or the answer that IPA gives to what is neither.
fn name_and_params(body: Value) -> Result<(String, Map<String, Value>), Refusal> {
    let mut object = match body {
        Value::Object(object) => object,
        Value::Array(_) | Value::String(_) => return Err(missing().into()),
        scalar => {
            let text = format!("argument of type '{}' is not iterable", python_type(&scalar));
            return Err(fault::fault(StatusCode::INTERNAL_SERVER_ERROR, text).into());
        }
    };
    let (Some(name), Some(Value::Object(params))) = (object.remove("name"), object.remove("params")) else {
        return Err(missing().into());
    };
    if params.contains_key("command_name") {
        let text = "ExecuteCommandMixin.execute_command() got multiple values for argument 'command_name'";
        return Err(fault::fault(StatusCode::INTERNAL_SERVER_ERROR, text).into());
    }
    match name {
        Value::String(name) => Ok((name, params)),
        other => {
            let text = format!("'{}' object has no attribute 'split'", python_type(&other));
            Err(fault::fault(StatusCode::INTERNAL_SERVER_ERROR, text).into())
        }
    }
}

fn missing() -> Response<Body> {
    fault::framework(StatusCode::BAD_REQUEST, "Missing or invalid name or params")
}

fn python_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}
