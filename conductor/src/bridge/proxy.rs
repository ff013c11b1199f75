//! The reverse proxy: `https://bridge/agents/<uuid>/v1/commands/` in Ironic's eyes is the agent.
//!
//! Ironic's token is checked here; the agent is called with the bridge's own certificate. Only what Ironic calls is
//! passed on.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{any, get};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::agents::AgentClient;
use crate::chain::chain;

use super::config::Mode;
use super::handle::{Handle, Registry};
use super::judge::works;
use super::lending;
use super::metrics::Counter;
use super::secret;
use super::session::{Broken, Known};
use super::shared::Shared;

/// Largest command taken, in bytes: a config drive is at most 64 MiB, in base64.
const COMMAND_SIZE: usize = 96 * 1024 * 1024;
/// Ironic gives up a request after a minute: until then the bridge looks for the agent.
const CONTACT_PATIENCE: Duration = Duration::from_secs(40);
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// Commands with `wait=true`: logs and lists of steps of slow machines.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);

#[derive(Clone)]
pub(super) struct ProxyState {
    pub(super) shared: Arc<Shared>,
    pub(super) registry: Arc<Registry>,
}

#[derive(Deserialize)]
struct Call {
    agent_token: Option<String>,
    wait: Option<String>,
}

impl Call {
    fn query(&self) -> &'static str {
        let wait = self.wait.as_deref().is_some_and(|wait| wait.eq_ignore_ascii_case("true"));
        if wait { "?wait=true" } else { "?wait=false" }
    }
}

pub(super) fn router(state: ProxyState) -> Router {
    let not_allowed = async || fault(StatusCode::METHOD_NOT_ALLOWED, "405 Method Not Allowed");
    let commands = || get(list).post(post).fallback(not_allowed);
    Router::new()
        .route("/agents/{uuid}/v1/commands/", commands())
        .route("/agents/{uuid}/v1/commands", commands())
        .route("/agents/{uuid}/v1/commands/{id}", get(show).fallback(not_allowed))
        .fallback(any(async || fault(StatusCode::NOT_FOUND, "404 Not Found")))
        .with_state(state)
}

async fn list(
    State(state): State<ProxyState>,
    Path(uuid): Path<String>,
    Query(call): Query<Call>,
) -> Response<Body> {
    let answer = async {
        let handle = authenticate(&state, &uuid, &call)?;
        let broken = handle.with_session(|session| session.broken.clone()).flatten();
        if let Some(broken) = broken {
            // Whatever the agent that came after says.
            return Ok(respond(StatusCode::OK, &json!({"commands": [lost(&broken, None)]})));
        }
        let client = reach(&handle).await?;
        let mut answer = look(&client, "/v1/commands/", LOOK_LIMIT).await?;
        if let Some(known) = missing(&handle, &answer.1) {
            // The leader will see it in a moment; Ironic must not see an empty list until then.
            handle.bell.notify_one();
            let why = format!("{}: the agent restarted in the middle of it", known.name);
            let broken = Broken { id: known.id, command: known.name, why, tell: true };
            return Ok(respond(StatusCode::OK, &json!({"commands": [lost(&broken, None)]})));
        }
        for command in answer.1.get_mut("commands").and_then(Value::as_array_mut).into_iter().flatten() {
            lending::unborrow(command);
        }
        Ok(respond(answer.0, &answer.1))
    };
    counted(&state, answer.await)
}

async fn show(
    State(state): State<ProxyState>,
    Path((uuid, id)): Path<(String, String)>,
    Query(call): Query<Call>,
) -> Response<Body> {
    let answer = async {
        let handle = authenticate(&state, &uuid, &call)?;
        if id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Box::new(fault(StatusCode::NOT_FOUND, "Not found: Command Result not found.")));
        }
        let client = reach(&handle).await?;
        let path = format!("/v1/commands/{id}{}", call.query());
        let mut answer = look(&client, &path, COMMAND_LIMIT).await?;
        lending::unborrow(&mut answer.1);
        Ok(respond(answer.0, &answer.1))
    };
    counted(&state, answer.await)
}

async fn post(
    State(state): State<ProxyState>,
    Path(uuid): Path<String>,
    Query(call): Query<Call>,
    request: Request<Body>,
) -> Response<Body> {
    let answer = async {
        let handle = authenticate(&state, &uuid, &call)?;
        let (name, params) = command(request).await?;
        let broken = handle.with_session(|session| session.broken.clone()).flatten();
        if let Some(broken) = broken.filter(|_| works(bare(&name))) {
            return Ok(respond(StatusCode::OK, &lost(&broken, Some(bare(&name)))));
        }
        let client = reach(&handle).await?;
        let answer = pass_on(&state.shared, &handle, &client, &call, name, params).await?;
        Ok(respond(answer.0, &answer.1))
    };
    counted(&state, answer.await)
}

type Answer = (StatusCode, Value);
type Refusal = Box<Response<Body>>;

/// The node whose token this is. Nobody learns from an answer which nodes there are.
fn authenticate(state: &ProxyState, uuid: &str, call: &Call) -> Result<Arc<Handle>, Refusal> {
    let handle = uuid.parse::<Uuid>().ok().and_then(|uuid| state.registry.find(uuid));
    let expected = handle.as_ref().and_then(|handle| {
        handle.with_session(|session| (session.mode == Mode::Proxy).then(|| session.token.clone())).flatten()
    });
    let given = call.agent_token.as_deref().unwrap_or_default();
    let equal = secret::equal(given, expected.as_deref().unwrap_or_default());
    match handle {
        Some(handle) if equal && expected.is_some() => Ok(handle),
        _ => Err(Box::new(fault(StatusCode::UNAUTHORIZED, "401 Unauthorized: Token invalid."))),
    }
}

async fn reach(handle: &Handle) -> Result<AgentClient, Refusal> {
    let unreachable =
        || Box::new(fault(StatusCode::SERVICE_UNAVAILABLE, "The agent does not answer the bridge."));
    handle.contact(CONTACT_PATIENCE).await.ok_or_else(unreachable)
}

/// Passes a command on, exactly once. What it may do is on disk before the agent hears of it.
async fn pass_on(
    shared: &Arc<Shared>,
    handle: &Arc<Handle>,
    client: &AgentClient,
    call: &Call,
    name: String,
    mut params: Map<String, Value>,
) -> Result<Answer, Refusal> {
    let unkept = |error: super::keep::KeepError| {
        tracing::error!(node = handle.key(), "{}", chain(&error));
        Box::new(fault(StatusCode::SERVICE_UNAVAILABLE, "The bridge cannot keep its state."))
    };
    let _on_its_way = handle.pass_on();
    let before = handle.with_session(|session| session.last.clone()).flatten();
    let images = lending::borrow_images(&mut params);
    if works(bare(&name)) {
        let pending =
            Known { id: String::new(), name: bare(&name).to_owned(), finished: false, reported: false };
        let lent = images.clone();
        let note = |session: &mut super::session::Session| {
            session.last = Some(pending);
            session.images = lent;
        };
        handle.change(note).await.map_err(unkept)?;
        lending::resume(shared, handle, client);
    }
    let path = format!("/v1/commands/{}", call.query());
    let body = Bytes::from(json!({"name": name, "params": params}).to_string());
    let answer = client.v1(Method::POST, &path, Some(body), COMMAND_LIMIT).await;
    let (status, body) = answer.map_err(|error| unreachable(handle, &error))?;
    let mut answer = parse(status, &body)?;
    if status.is_success() {
        lending::unborrow(&mut answer);
    } else if works(bare(&name)) {
        // It said no: nothing runs that did not run before.
        let undo = |session: &mut super::session::Session| {
            session.last = before;
            session.images.clear();
        };
        handle.change(undo).await.map_err(unkept)?;
    }
    Ok((status, answer))
}

fn bare(name: &str) -> &str {
    name.split_once('.').map_or(name, |(_, bare)| bare)
}

/// A command whose end Ironic does not know, and the agent not any more.
fn missing(handle: &Handle, answer: &Value) -> Option<Known> {
    let known = handle.with_session(|session| session.last.clone()).flatten()?;
    let listed = answer.get("commands")?.as_array()?;
    let listed = listed.iter().any(|command| command["id"] == known.id.as_str());
    let ended = known.finished && known.reported;
    (!ended && !listed && !known.id.is_empty() && works(&known.name)).then_some(known)
}

/// A command that was lost, as Ironic sees a failed one (IPA contract §1.4).
fn lost(broken: &Broken, asked: Option<&str>) -> Value {
    let name = asked.unwrap_or(&broken.command);
    json!({
        "id": broken.id,
        "command_name": name,
        "command_status": "FAILED",
        "command_error": {
            "type": "CommandExecutionError",
            "code": 500,
            "message": "Command execution failed",
            "details": broken.why,
        },
        "command_result": null,
    })
}

async fn look(client: &AgentClient, path: &str, limit: Duration) -> Result<Answer, Refusal> {
    let answer = client.v1(Method::GET, path, None, limit).await;
    let (status, body) = answer.map_err(|error| {
        tracing::warn!("{}", chain(&error));
        Box::new(fault(StatusCode::BAD_GATEWAY, "The agent does not answer the bridge."))
    })?;
    Ok((status, parse(status, &body)?))
}

fn unreachable(handle: &Handle, error: &crate::agents::AgentError) -> Refusal {
    tracing::warn!(node = handle.key(), "{}", chain(error));
    Box::new(fault(StatusCode::BAD_GATEWAY, "The agent does not answer the bridge."))
}

/// Ironic takes anything but JSON, and errors without an explanation, for a fault of its own.
fn parse(status: StatusCode, body: &[u8]) -> Result<Value, Refusal> {
    let malformed =
        || Box::new(fault(StatusCode::BAD_GATEWAY, "The agent's answer is not what it should be."));
    let value: Value = serde_json::from_slice(body).map_err(|_| malformed())?;
    if !value.is_object() || (status.as_u16() >= 400 && !value["faultstring"].is_string()) {
        return Err(malformed());
    }
    Ok(value)
}

async fn command(request: Request<Body>) -> Result<(String, Map<String, Value>), Refusal> {
    let bad = |text: &str| Box::new(fault(StatusCode::BAD_REQUEST, text));
    let body = Limited::new(request.into_body(), COMMAND_SIZE).collect();
    let body =
        tokio::time::timeout(LOOK_LIMIT, body).await.map_err(|_| bad("400 Bad Request: no body in time"))?;
    let body = body.map_err(|_| {
        Box::new(fault(
            StatusCode::PAYLOAD_TOO_LARGE,
            "413 Payload Too Large: a command of this size is none",
        ))
    })?;
    let value: Value = serde_json::from_slice(&body.to_bytes())
        .map_err(|error| bad(&format!("400 Bad Request: Failed to decode JSON object: {error}")))?;
    match value {
        Value::Object(mut object) => match (object.remove("name"), object.remove("params")) {
            (Some(Value::String(name)), Some(Value::Object(params))) => Ok((name, params)),
            _ => Err(bad("400 Bad Request: Missing or invalid name or params")),
        },
        _ => Err(bad("400 Bad Request: Missing or invalid name or params")),
    }
}

fn counted(state: &ProxyState, answer: Result<Response<Body>, Refusal>) -> Response<Body> {
    let response = answer.unwrap_or_else(|refusal| *refusal);
    state.shared.metrics.count(Counter::ProxyRequests, response.status().as_str());
    response
}

fn respond(status: StatusCode, value: &Value) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn fault(status: StatusCode, text: &str) -> Response<Body> {
    let code = if status.is_server_error() { "Server" } else { "Client" };
    respond(status, &json!({"faultcode": code, "faultstring": text}))
}
