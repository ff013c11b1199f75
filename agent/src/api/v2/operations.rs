//! Operations under ids that the caller chooses: starting one twice starts it once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Response, StatusCode};
use tacit_protocol::v2::{Operation, OperationRequest};

use super::super::json::respond;
use super::super::{body, fault};
use crate::agent::Agent;
use crate::commands::{self, LookupError};
use crate::jobs::{Begun, Cancelled, CommandError, Front, NewJob};

/// Longest id that is taken.
const LONGEST_ID: usize = 128;

pub(super) async fn list(State(agent): State<Arc<Agent>>) -> Response<Body> {
    let operations: Vec<Operation> =
        agent.jobs.list(Front::V2).iter().map(|record| record.to_operation()).collect();
    respond(StatusCode::OK, &operations)
}

pub(super) async fn show(State(agent): State<Arc<Agent>>, Path(id): Path<String>) -> Response<Body> {
    match agent.jobs.get(Front::V2, &id) {
        Some(record) => respond(StatusCode::OK, &record.to_operation()),
        None => unknown(&id),
    }
}

pub(super) async fn cancel(State(agent): State<Arc<Agent>>, Path(id): Path<String>) -> Response<Body> {
    match agent.jobs.cancel(Front::V2, &id) {
        Cancelled::Unknown => unknown(&id),
        Cancelled::Asked(record) => respond(StatusCode::ACCEPTED, &record.to_operation()),
    }
}

pub(super) async fn put(
    State(agent): State<Arc<Agent>>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Response<Body> {
    let bytes = match body::read(request).await {
        Ok(bytes) => bytes,
        Err(refusal) => return *refusal,
    };
    let request: OperationRequest = match body::parse_as(&bytes) {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    drop(bytes);
    if id.is_empty() || id.len() > LONGEST_ID {
        return fault::framework(StatusCode::BAD_REQUEST, "Operation ids have 1 to 128 bytes.");
    }
    let digest = digest(&request);
    let _turn = agent.turn.lock().await;
    if let Some(known) = agent.jobs.get(Front::V2, &id) {
        return if known.request_digest == digest {
            respond(StatusCode::OK, &known.to_operation())
        } else {
            fault::fault(StatusCode::CONFLICT, format!("Operation {id} is another request already."))
        };
    }
    start(&agent, id, request, digest)
}

fn start(agent: &Arc<Agent>, id: String, request: OperationRequest, digest: String) -> Response<Body> {
    let spec = match commands::find(&request.command) {
        Ok(spec) => spec,
        Err(LookupError::Extension(text) | LookupError::Command(text)) => {
            return fault::command(&CommandError::new("InvalidCommandError", text));
        }
    };
    if let Err(error) = commands::check(spec, &request.params, &agent.image_policy()) {
        return fault::command(&CommandError::invalid_params(error.error.details));
    }
    let job =
        NewJob { id: id.clone(), front: Front::V2, command: spec.name.to_owned(), request_digest: digest };
    let begun = match agent.jobs.begin(job) {
        Ok(begun) => begun,
        Err(busy) => return fault::busy(&busy),
    };
    let started = agent.jobs.get(Front::V2, &id).map(|record| record.to_operation());
    if let Begun::Running(context) = begun {
        commands::spawn(agent, spec, request.params, *context);
    }
    match started {
        Some(operation) => respond(StatusCode::CREATED, &operation),
        None => unknown(&id),
    }
}

fn unknown(id: &str) -> Response<Body> {
    fault::fault(StatusCode::NOT_FOUND, format!("Not found: Operation with id {id} not found."))
}

/// Requests are compared by digest: they hold config drives and addresses with secrets, which are not kept.
fn digest(request: &OperationRequest) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(request.command.as_bytes());
    context.update(b"\0");
    context.update(serde_json::Value::Object(request.params.clone()).to_string().as_bytes());
    context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
