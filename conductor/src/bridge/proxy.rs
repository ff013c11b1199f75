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
use http_body_util::{BodyExt, Limited};
use hyper::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use crate::agents::AgentClient;
use crate::chain::chain;

use super::config::Mode;
use super::handle::{Handle, Registry};
use super::judge::works;
use super::keep::KeepError;
use super::lending;
use super::lost;
use super::metrics::Counter;
use super::secret;
use super::sending::{bare, pass_on};
use super::serve::hang_up;
use super::session::Session;
use super::shared::Shared;

/// Largest command taken, in bytes: a config drive is at most 64 MiB, in base64.
const COMMAND_SIZE: usize = 96 * 1024 * 1024;
/// Ironic gives up a request after a minute: until then the bridge looks for the agent, and for what was promised.
const CONTACT_PATIENCE: Duration = Duration::from_secs(40);
const LOOK_LIMIT: Duration = Duration::from_secs(20);
/// Between two attempts at one of Ironic's questions.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
/// Between two looks at whether a node's leader holds its lease.
const RECALL_PAUSE: Duration = Duration::from_millis(200);
/// Commands with `wait=true`: logs and lists of steps of slow machines.
pub(super) const COMMAND_LIMIT: Duration = Duration::from_secs(300);

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
        let end = Instant::now() + CONTACT_PATIENCE;
        let handle = authenticate(&state, &uuid, &call, end).await?;
        let (status, mut answer) = listed(&handle, end).await?;
        for command in answer.get_mut("commands").and_then(Value::as_array_mut).into_iter().flatten() {
            lending::unborrow(command);
        }
        Ok(respond(status, &answer))
    };
    counted(&state, answer.await)
}

/// The agent's commands, or what was lost. Ironic takes every other answer for the end of the operation, but asks
/// again where it gets none.
async fn listed(handle: &Handle, end: Instant) -> Result<Answer, Refusal> {
    loop {
        let lost = |session: &Session| {
            // Whatever the agent that came after says.
            session.broken.as_ref().map(|broken| lost::list(session, &broken.id, &broken.why))
        };
        if let Some(lost) = handle.with_session(lost).flatten() {
            return Ok(lost);
        }
        if let Ok(client) = reach(handle, LOOK_PAUSE).await {
            if let Some(answer) = listed_by(handle, &client).await {
                return Ok(answer);
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
        if handle.is_retired() || Instant::now() >= end {
            return Err(Box::new(hang_up()));
        }
    }
}

/// The list of an agent in the life that the leader has judged: one of another life may be empty.
async fn listed_by(handle: &Handle, client: &AgentClient) -> Option<Answer> {
    let listed = look(client, "/v1/commands/", LOOK_LIMIT).await.ok()?;
    if !is_judged(handle, client).await {
        return None;
    }
    Some(listed).filter(|(status, _)| *status == StatusCode::OK)
}

async fn show(
    State(state): State<ProxyState>,
    Path((uuid, id)): Path<(String, String)>,
    Query(call): Query<Call>,
) -> Response<Body> {
    let answer = async {
        let end = Instant::now() + CONTACT_PATIENCE;
        let handle = authenticate(&state, &uuid, &call, end).await?;
        if id.len() > 64 || !id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Box::new(fault(StatusCode::NOT_FOUND, "Not found: Command Result not found.")));
        }
        let client = reach(&handle, end.duration_since(Instant::now())).await?;
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
        let end = Instant::now() + CONTACT_PATIENCE;
        let handle = authenticate(&state, &uuid, &call, end).await?;
        let (name, params) = command(request).await?;
        if let Some(kind) = lost::step_kind(bare(&name)) {
            let kept = handle.change(|session| session.kind = Some(kind.to_owned())).await;
            kept.map_err(|error| unkept(&handle, &error))?;
        }
        if let Some(lost) = lost_already(&handle, bare(&name)) {
            return Ok(lost);
        }
        let client = reach(&handle, end.duration_since(Instant::now())).await?;
        if works(bare(&name)) && !is_judged(&handle, &client).await {
            // What was lost, if anything, may have come out while the agent was sought.
            let restarted = || fault(StatusCode::SERVICE_UNAVAILABLE, "The agent has just restarted.");
            return Ok(lost_already(&handle, bare(&name)).unwrap_or_else(restarted));
        }
        let answer = pass_on(&state.shared, &handle, &client, call.query(), name, params).await?;
        Ok(respond(answer.0, &answer.1))
    };
    counted(&state, answer.await)
}

/// What becomes of a command of an operation that is lost: nothing is begun any more.
fn lost_already(handle: &Handle, name: &str) -> Option<Response<Body>> {
    let broken = handle.with_session(|session| session.broken.clone()).flatten();
    let broken = broken.filter(|_| works(name))?;
    Some(respond(StatusCode::OK, &lost::command(&broken.id, name, &broken.why)))
}

/// Whether the agent is in the life that the leader has judged, and nothing was lost with an earlier one.
async fn is_judged(handle: &Handle, client: &AgentClient) -> bool {
    let Ok(now) = client.status().await else { return false };
    let known =
        |session: &Session| session.broken.is_none() && session.life.is_of(&now.boot_id, now.started_at);
    let judged = handle.with_session(known) == Some(true);
    if !judged {
        handle.bell.notify_one();
    }
    judged
}

pub(super) type Answer = (StatusCode, Value);
pub(super) type Refusal = Box<Response<Body>>;

/// The node whose token this is. Nobody learns from an answer which nodes there are. A node that is just given to
/// another leader, of this bridge or of another one that has gone, is waited for.
async fn authenticate(
    state: &ProxyState,
    uuid: &str,
    call: &Call,
    end: Instant,
) -> Result<Arc<Handle>, Refusal> {
    let uuid = uuid.parse::<Uuid>().ok();
    let handle = loop {
        let handle = uuid.and_then(|uuid| state.registry.find(uuid));
        let known = match &handle {
            Some(handle) => handle.is_recalled(),
            None => uuid.is_none() || !state.registry.has_unnamed(),
        };
        if known {
            break handle;
        }
        if Instant::now() >= end {
            // Another bridge leads it and knows the token: Ironic may be more lucky with its next attempt.
            return Err(Box::new(hang_up()));
        }
        tokio::time::sleep(RECALL_PAUSE).await;
    };
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

async fn reach(handle: &Handle, patience: Duration) -> Result<AgentClient, Refusal> {
    if !handle.has_contact() {
        // The leader may have given it up.
        handle.bell.notify_one();
    }
    let unreachable =
        || Box::new(fault(StatusCode::SERVICE_UNAVAILABLE, "The agent does not answer the bridge."));
    handle.contact(patience).await.ok_or_else(unreachable)
}

pub(super) fn unkept(handle: &Handle, error: &KeepError) -> Refusal {
    tracing::error!(node = handle.key(), "{}", chain(error));
    Box::new(fault(StatusCode::SERVICE_UNAVAILABLE, "The bridge cannot keep its state."))
}

async fn look(client: &AgentClient, path: &str, limit: Duration) -> Result<Answer, Refusal> {
    let answer = client.v1(Method::GET, path, None, limit).await;
    let (status, body) = answer.map_err(|error| {
        tracing::warn!("{}", chain(&error));
        Box::new(fault(StatusCode::BAD_GATEWAY, "The agent does not answer the bridge."))
    })?;
    Ok((status, parse(status, &body)?))
}

pub(super) fn unreachable(handle: &Handle, error: &crate::agents::AgentError) -> Refusal {
    tracing::warn!(node = handle.key(), "{}", chain(error));
    Box::new(fault(StatusCode::BAD_GATEWAY, "The agent does not answer the bridge."))
}

/// Ironic takes anything but JSON, and errors without an explanation, for a fault of its own.
pub(super) fn parse(status: StatusCode, body: &[u8]) -> Result<Value, Refusal> {
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

#[cfg(test)]
mod tests {
    use super::super::handle::tests::node;
    use super::super::keep::Keep;
    use super::super::session::Broken;
    use super::super::session::tests::session;
    use super::*;
    use crate::pki::Pki;

    #[tokio::test]
    async fn an_agent_that_does_not_answer_for_a_moment_is_asked_again() {
        let directory = tempfile::tempdir().unwrap();
        let pki = Pki::open_or_create(&directory.path().join("pki")).unwrap();
        let handle = Arc::new(Handle::new(node(), Keep::open(directory.path()).unwrap()));
        handle.put(Some(Session { kind: Some("clean".to_owned()), ..session() })).await.unwrap();
        let agent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = AgentClient::new(&pki, agent.local_addr().unwrap(), pki.ca_pem()).unwrap();
        handle.set_contact(Some(client));
        let asking = Arc::clone(&handle);
        let mut asked =
            tokio::spawn(async move { listed(&asking, Instant::now() + CONTACT_PATIENCE).await.ok() });
        for _ in 0..2 {
            tokio::select! {
                broken = agent.accept() => drop(broken.unwrap()),
                answer = &mut asked => panic!("{answer:?}"),
            }
        }
        // Meanwhile it turns out what became of it.
        let broken = Broken { id: "1".to_owned(), why: "gone".to_owned(), tell: true };
        handle.change(|session| session.broken = Some(broken)).await.unwrap();
        let (status, answer) = asked.await.unwrap().unwrap();
        assert_eq!((status, &answer["commands"][0]["command_status"]), (StatusCode::OK, &json!("FAILED")));
    }
}
