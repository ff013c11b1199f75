//! Ironic as far as a ramdisk and a bridge see it: lookup, heartbeat, inspection, states; and its calls to the agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::site::{NODE, until};

pub(crate) const MASKED: &str = "******";

/// How Ironic misbehaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    Status(u16),
    Huge,
    Malformed,
    Silent,
}

pub(crate) struct Node {
    pub(crate) state: String,
    pub(crate) token: Option<String>,
    /// Told to somebody, or put on a medium.
    pub(crate) told: bool,
    pub(crate) agent_url: Option<String>,
    pub(crate) verify_ca: Option<String>,
    /// Accepted ones.
    pub(crate) heartbeats: Vec<Value>,
    /// Refused ones.
    pub(crate) refused: usize,
    pub(crate) lookups: usize,
    /// Accepted heartbeats and offered inspections, in their order.
    pub(crate) events: Vec<&'static str>,
    /// Where the bridge keeps what it was told.
    pub(crate) kept: Option<PathBuf>,
    /// Accepted heartbeats whose token was not there.
    pub(crate) unkept: usize,
    /// How heartbeats are refused, and nothing else.
    pub(crate) heartbeat_fault: Option<u16>,
    /// How inspections are refused.
    pub(crate) inspection_fault: Option<u16>,
    pub(crate) inspections: Vec<Value>,
    pub(crate) fault: Option<Fault>,
    /// Whether nodes may be listed.
    pub(crate) readable: bool,
    /// What is listed, in place of the node.
    pub(crate) listed: Option<Vec<Value>>,
    /// How often nodes were listed.
    pub(crate) lists: usize,
    /// Tokens of Keystone that are too old.
    pub(crate) refused_tokens: Vec<String>,
    /// Lookups and heartbeats that showed such a token, or a password.
    pub(crate) signed: usize,
    /// The node that has the machine's network interfaces as its ports.
    pub(crate) ports_of: Option<&'static str>,
    /// Requests that get no answer.
    pub(crate) unanswered: usize,
    /// What lookups said.
    pub(crate) asked: Vec<Value>,
    minted: u32,
}

pub(crate) struct Ironic {
    pub(crate) address: SocketAddr,
    pub(crate) node: Arc<Mutex<Node>>,
    server: Mutex<Option<JoinHandle<()>>>,
}

impl Ironic {
    pub(crate) async fn start(state: &str) -> Self {
        let node = Node {
            state: state.to_owned(),
            token: None,
            told: false,
            agent_url: None,
            verify_ca: None,
            heartbeats: Vec::new(),
            refused: 0,
            lookups: 0,
            events: Vec::new(),
            kept: None,
            unkept: 0,
            heartbeat_fault: None,
            inspection_fault: None,
            inspections: Vec::new(),
            fault: None,
            readable: false,
            listed: None,
            lists: 0,
            refused_tokens: Vec::new(),
            signed: 0,
            ports_of: Some(NODE),
            unanswered: 0,
            asked: Vec::new(),
            minted: 0,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let ironic = Self { address, node: Arc::new(Mutex::new(node)), server: Mutex::default() };
        ironic.serve(listener);
        ironic
    }

    fn serve(&self, listener: TcpListener) {
        let router = Router::new()
            .route("/v1/lookup", get(lookup))
            .route("/v1/heartbeat/{node}", post(heartbeat))
            .route("/v1/continue_inspection", post(inspection))
            .route("/v1/nodes", get(nodes))
            .with_state(Arc::clone(&self.node));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        *self.server.lock().unwrap() = Some(server);
    }

    /// Nobody listens any more.
    pub(crate) fn down(&self) {
        self.server.lock().unwrap().take().unwrap().abort();
    }

    pub(crate) async fn up(&self) {
        let listener = loop {
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        self.serve(listener);
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&mut Node) -> T) -> T {
        look(&mut self.node.lock().unwrap())
    }

    pub(crate) fn heartbeats(&self) -> usize {
        self.look(|node| node.heartbeats.len())
    }

    /// A heartbeat that comes from now on, accepted.
    pub(crate) async fn next_heartbeat(&self) -> Value {
        let before = self.heartbeats();
        until("a heartbeat", || self.heartbeats() > before).await;
        self.look(|node| node.heartbeats.last().unwrap().clone())
    }

    pub(crate) async fn first_heartbeat(&self) {
        until("the first heartbeat", || self.heartbeats() > 0).await;
    }

    /// As at a power-off by Ironic.
    pub(crate) fn wipe(&self) {
        self.look(|node| {
            (node.token, node.told, node.agent_url, node.verify_ca) = (None, false, None, None);
        });
    }

    pub(crate) fn token(&self) -> String {
        self.look(|node| node.token.clone()).unwrap()
    }

    /// Calls the agent as the conductor does, with `token`.
    pub(crate) async fn call(
        &self,
        token: &str,
        wait: bool,
        body: Option<Value>,
    ) -> Result<(u16, Value), reqwest::Error> {
        let (url, ca) = self.look(|node| (node.agent_url.clone().unwrap(), node.verify_ca.clone()));
        call(&url, ca.as_deref(), token, wait, body).await
    }

    /// `GET /v1/commands/`.
    pub(crate) async fn commands(&self) -> Vec<Value> {
        let (status, answer) = self.call(&self.token(), false, None).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer["commands"].as_array().unwrap().clone()
    }

    pub(crate) async fn command(&self, name: &str, params: Value, wait: bool) -> Value {
        let body = json!({"name": name, "params": params});
        let (status, answer) = self.call(&self.token(), wait, Some(body)).await.unwrap();
        assert_eq!(status, 200, "{answer}");
        answer
    }

    /// Acts on a heartbeat until the last command has ended; returns that command.
    pub(crate) async fn ended(&self) -> Value {
        loop {
            self.next_heartbeat().await;
            let last = self.commands().await.last().cloned().unwrap();
            if last["command_status"] != "RUNNING" {
                return last;
            }
        }
    }
}

impl Drop for Ironic {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap().take() {
            server.abort();
        }
    }
}

pub(crate) async fn call(
    url: &str,
    ca: Option<&str>,
    token: &str,
    wait: bool,
    body: Option<Value>,
) -> Result<(u16, Value), reqwest::Error> {
    let mut builder = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60));
    if let Some(pem) = ca {
        let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        builder = builder.tls_built_in_root_certs(false).add_root_certificate(root);
    }
    let client = builder.build().unwrap();
    let url = format!("{url}/v1/commands/");
    let request = match &body {
        Some(body) => client.post(url).body(body.to_string()),
        None => client.get(url),
    };
    let answer = request
        .query(&[("wait", if wait { "true" } else { "false" }), ("agent_token", token)])
        .send()
        .await?;
    let status = answer.status().as_u16();
    Ok((status, serde_json::from_slice(&answer.bytes().await?).unwrap()))
}

type Shared = State<Arc<Mutex<Node>>>;

fn fault(status: u16, text: &str) -> Response<Body> {
    let inner = json!({"faultcode": "Client", "faultstring": text, "debuginfo": null}).to_string();
    let status = StatusCode::from_u16(status).unwrap();
    (status, json!({"error_message": inner}).to_string()).into_response()
}

async fn misbehave(node: &Arc<Mutex<Node>>) -> Option<Response<Body>> {
    let wrong = node.lock().unwrap().fault?;
    Some(match wrong {
        Fault::Status(status) => fault(status, "not now"),
        Fault::Huge => "x".repeat(20 << 20).into_response(),
        Fault::Malformed => "{\"node\": [".into_response(),
        Fault::Silent => {
            node.lock().unwrap().unanswered += 1;
            std::future::pending().await
        }
    })
}

impl Node {
    fn told_document(&mut self, uuid: &str) -> Value {
        if self.token.is_none() {
            self.minted += 1;
            self.token = Some(format!("{:0>43}", self.minted));
        }
        let token = if self.told { MASKED.to_owned() } else { self.token.clone().unwrap() };
        self.told = true;
        json!({"node": {"uuid": uuid}, "config": {"agent_token": token, "heartbeat_timeout": 300}})
    }
}

fn is_signed(headers: &HeaderMap) -> bool {
    ["X-Auth-Token", "Authorization"].iter().any(|name| headers.contains_key(*name))
}

async fn lookup(State(node): Shared, headers: HeaderMap, Query(query): Query<Value>) -> Response<Body> {
    if let Some(answer) = misbehave(&node).await {
        return answer;
    }
    let mut node = node.lock().unwrap();
    node.lookups += 1;
    node.signed += usize::from(is_signed(&headers));
    node.asked.push(query.clone());
    // Beside a UUID, Ironic does not look at the addresses.
    let asked_for = match query["node_uuid"].as_str() {
        Some(uuid) => Some(uuid),
        None => query["addresses"].as_str().and(node.ports_of),
    };
    let waits = node.state.ends_with("wait") || node.state == "wait call-back";
    match asked_for.filter(|_| waits) {
        Some(uuid) => node.told_document(uuid).to_string().into_response(),
        None => fault(404, "Resource could not be found."),
    }
}

async fn heartbeat(
    State(node): Shared,
    Path(uuid): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response<Body> {
    if let Some(answer) = misbehave(&node).await {
        return answer;
    }
    let body: Value = serde_json::from_str(&body).unwrap();
    let mut node = node.lock().unwrap();
    assert_eq!(uuid, NODE);
    node.signed += usize::from(is_signed(&headers));
    if let Some(status) = node.heartbeat_fault {
        return fault(status, "not now");
    }
    let refusal =
        if body["agent_token"].as_str().is_none() || body["agent_token"].as_str() != node.token.as_deref() {
            Some("Invalid or missing agent token received.")
        } else if node.agent_url.as_deref().is_some_and(|url| body["callback_url"] != url) {
            Some("Detected change in ramdisk provided \"callback_url\"")
        } else if node.verify_ca.is_some() && node.verify_ca.as_deref() != body["agent_verify_ca"].as_str() {
            Some("Detected change in ramdisk provided \"agent_verify_ca\"")
        } else {
            None
        };
    if let Some(refusal) = refusal {
        node.refused += 1;
        return fault(400, refusal);
    }
    assert_eq!(body["agent_version"], "13.0.0");
    node.agent_url = body["callback_url"].as_str().map(str::to_owned);
    node.verify_ca = body["agent_verify_ca"].as_str().map(str::to_owned);
    let kept = node.kept.as_ref().map(|path| std::fs::read_to_string(path).unwrap_or_default());
    node.unkept +=
        usize::from(kept.is_some_and(|kept| !kept.contains(body["agent_token"].as_str().unwrap())));
    node.events.push("heartbeat");
    node.heartbeats.push(body);
    StatusCode::ACCEPTED.into_response()
}

async fn inspection(State(node): Shared, body: String) -> Response<Body> {
    let mut node = node.lock().unwrap();
    node.events.push("inspection");
    if let Some(status) = node.inspection_fault {
        return fault(status, "not this way");
    }
    if node.state != "inspect wait" {
        return fault(404, "Resource could not be found.");
    }
    node.inspections.push(serde_json::from_str(&body).unwrap());
    node.state = "manageable".to_owned();
    (StatusCode::ACCEPTED, node.told_document(NODE).to_string()).into_response()
}

async fn nodes(State(node): Shared, headers: HeaderMap, Query(query): Query<Value>) -> Response<Body> {
    if let Some(answer) = misbehave(&node).await {
        return answer;
    }
    let mut node = node.lock().unwrap();
    let token = headers.get("X-Auth-Token").map(|token| token.to_str().unwrap().to_owned());
    if !node.readable || token.is_some_and(|token| node.refused_tokens.contains(&token)) {
        return fault(401, "The request you have made requires authentication.");
    }
    node.lists += 1;
    let own = || vec![json!({"uuid": NODE, "provision_state": node.state, "driver_info": {}})];
    let mut found = node.listed.clone().unwrap_or_else(own);
    found.retain(|found| found["provision_state"] == query["provision_state"]);
    json!({"nodes": found}).to_string().into_response()
}
