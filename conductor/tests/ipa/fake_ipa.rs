//! IPA's `/v1` in this process, over TLS or plain, with faults on demand.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Map, Value, json};
use tacit_conductor::agents::{IpaClient, IpaSettings};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

pub(crate) const TOKEN: &str = "token/of&the=other+side%20";

/// How a request for a list, a status or a command is answered instead of well.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Wrong {
    /// 17 MiB.
    Huge,
    /// After ten minutes.
    Never,
    /// 200 and this text.
    Text(String),
    Status(u16, String),
}

/// What becomes of the next command that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lost {
    /// The connection breaks before IPA has read it.
    Before,
    /// The same, each time.
    Always,
    /// IPA has begun it, and its answer is lost.
    After,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) started_at: f64,
    /// What it lists: commands as it shows them.
    pub(crate) commands: Vec<Value>,
    /// Bodies of the commands that it began, oldest first, of all runs.
    pub(crate) begun: Vec<Value>,
    /// Requests that arrived.
    pub(crate) requests: usize,
    pub(crate) lost: Option<Lost>,
    pub(crate) wrong_list: Option<Wrong>,
    pub(crate) wrong_status: Option<Wrong>,
    pub(crate) wrong_command: Option<Wrong>,
    pub(crate) wrong_post: Option<Wrong>,
    /// Commands that a thread of their own carries out stay RUNNING until somebody ends them.
    pub(crate) by_hand: bool,
    pub(crate) interfaces: Vec<Value>,
    numbers: usize,
}

pub(crate) struct FakeIpa {
    pub(crate) address: SocketAddr,
    pub(crate) certificate_pem: Option<String>,
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
    listener: AbortHandle,
}

impl Drop for FakeIpa {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

impl FakeIpa {
    pub(crate) async fn start() -> Self {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(made.cert.pem().as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap(),
            )
            .unwrap();
        Self::listen(Some(TlsAcceptor::from(Arc::new(config))), Some(made.cert.pem())).await
    }

    pub(crate) async fn start_plain() -> Self {
        Self::listen(None, None).await
    }

    async fn listen(tls: Option<TlsAcceptor>, certificate_pem: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { started_at: 1_700_000_000.25, ..State::default() }));
        let changed = Arc::new(watch::Sender::new(0));
        let accept = accept(listener, tls, Arc::clone(&state), Arc::clone(&changed));
        let listener = tokio::spawn(accept).abort_handle();
        Self { address, certificate_pem, state, changed, listener }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What a node's `driver_info` says of it.
    pub(crate) fn driver_info(&self) -> Map<String, Value> {
        let mut info =
            json!({"agent_dialect": "ipa", "agent_token": TOKEN, "agent_address": self.address.to_string()});
        match &self.certificate_pem {
            Some(pem) => info["agent_certificate"] = pem.clone().into(),
            None => info["agent_scheme"] = "http".into(),
        }
        info.as_object().unwrap().clone()
    }

    pub(crate) fn client(&self) -> IpaClient {
        let settings = IpaSettings::of(&self.driver_info()).unwrap().unwrap();
        IpaClient::new(self.address, &settings).unwrap()
    }

    /// A new process: nothing is known any more.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        state.started_at += 60.0;
        state.commands.clear();
    }

    /// Waits until so many commands were begun.
    pub(crate) async fn begun(&self, count: usize) {
        let mut changed = self.changed.subscribe();
        changed.wait_for(|_| self.state().begun.len() >= count).await.unwrap();
    }

    /// Ends the command that runs.
    pub(crate) fn end(&self, status: &str, result: Value, error: Value) {
        let mut state = self.state();
        let command =
            state.commands.iter_mut().find(|command| command["command_status"] == "RUNNING").unwrap();
        command["command_status"] = status.into();
        command["command_result"] = result;
        command["command_error"] = error;
    }

    /// Ends the command that runs as it should.
    pub(crate) fn succeed(&self) {
        let step = self.state().begun.last().unwrap()["params"]["step"].clone();
        self.end("SUCCEEDED", result_of_step(&step), Value::Null);
    }
}

fn result_of_step(step: &Value) -> Value {
    match step["step"].as_str() {
        Some("write_image") => json!({"deploy_step": step,
            "deploy_result": {"result": "prepare_image: image (x) written to device /dev/sda root_uuid=0x00000000"}}),
        Some(_) => json!({"clean_step": step, "clean_result": null}),
        None => Value::Null,
    }
}

async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<u64>>,
) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (tls, state, changed) = (tls.clone(), Arc::clone(&state), Arc::clone(&changed));
        tokio::spawn(async move {
            match tls {
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, state, changed).await;
                    }
                }
                None => serve::<TcpStream>(stream, state, changed).await,
            }
        });
    }
}

async fn serve<S>(stream: S, state: Arc<Mutex<State>>, changed: Arc<watch::Sender<u64>>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request| {
        let (state, changed) = (Arc::clone(&state), Arc::clone(&changed));
        async move {
            let answer = answer(request, &state).await;
            changed.send_modify(|count| *count += 1);
            answer
        }
    });
    // Broken connections are what these tests are about.
    drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

type Reply = Result<Response<Full<Bytes>>, std::io::Error>;

fn reply(status: u16, text: impl Into<Bytes>) -> Reply {
    Ok(Response::builder().status(status).body(Full::new(text.into())).unwrap())
}

fn fault(status: u16, words: &str) -> Reply {
    reply(status, json!({"faultcode": "Client", "faultstring": words}).to_string())
}

async fn wrong(how: Wrong) -> Reply {
    match how {
        Wrong::Huge => reply(200, vec![b' '; 17 << 20]),
        Wrong::Text(text) => reply(200, text),
        Wrong::Status(status, text) => reply(status, text),
        Wrong::Never => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            reply(200, "{}")
        }
    }
}

async fn answer(request: Request<Incoming>, state: &Mutex<State>) -> Reply {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or_default().to_owned();
    let id = path.strip_prefix("/v1/commands/").unwrap_or_default().to_owned();
    let asked = {
        let mut state = state.lock().unwrap();
        state.requests += 1;
        match (&method, path.as_str()) {
            (&Method::POST, _) => state.wrong_post.clone(),
            (_, "/v1/status") => state.wrong_status.clone(),
            (_, "/v1/commands/") => state.wrong_list.clone(),
            _ => state.wrong_command.clone(),
        }
    };
    if path != "/v1/status" && query != "agent_token=token%2Fof%26the%3Dother%2Bside%2520" {
        return fault(401, "401 Unauthorized: Token invalid.");
    }
    if let Some(how) = asked {
        return wrong(how).await;
    }
    match (method, path.as_str()) {
        (Method::GET, "/v1/status") => {
            let started_at = state.lock().unwrap().started_at;
            reply(200, json!({"started_at": started_at, "version": "13.0.0"}).to_string())
        }
        (Method::GET, "/v1/commands/") => {
            let mut state = state.lock().unwrap();
            state.go_on();
            reply(200, json!({"commands": state.commands}).to_string())
        }
        (Method::GET, _) => {
            let mut state = state.lock().unwrap();
            state.go_on();
            match state.commands.iter().find(|command| command["id"] == id) {
                Some(command) => reply(200, command.to_string()),
                None => fault(404, &format!("Not found: Command Result with id {id} not found.")),
            }
        }
        (Method::POST, "/v1/commands/") => {
            let lost = {
                let mut state = state.lock().unwrap();
                let kept = state.lost.filter(|lost| *lost == Lost::Always);
                std::mem::replace(&mut state.lost, kept)
            };
            if matches!(lost, Some(Lost::Before | Lost::Always)) {
                return Err(std::io::Error::other("broken on demand"));
            }
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let answer = state.lock().unwrap().begin(serde_json::from_slice(&body).unwrap());
            if lost == Some(Lost::After) {
                return Err(std::io::Error::other("broken on demand"));
            }
            answer
        }
        _ => fault(404, "404 Not Found"),
    }
}

impl State {
    /// Commands end by themselves by the time that somebody looks.
    fn go_on(&mut self) {
        if self.by_hand {
            return;
        }
        for (command, request) in self.commands.iter_mut().rev().zip(self.begun.iter().rev()) {
            if command["command_status"] == "RUNNING" {
                command["command_status"] = "SUCCEEDED".into();
                command["command_result"] = result_of_step(&request["params"]["step"]);
            }
        }
    }

    fn begin(&mut self, body: Value) -> Reply {
        if let Some(last) = self.commands.last()
            && last["command_status"] == "RUNNING"
        {
            return fault(409, &format!("Agent is busy: executing command {}", last["command_name"]));
        }
        self.numbers += 1;
        let dotted = body["name"].as_str().unwrap();
        let name = dotted.rsplit('.').next().unwrap();
        let result = match name {
            "get_clean_steps" => Some(json!({
                "clean_steps": {"GenericHardwareManager": [
                    {"step": "erase_devices_metadata", "interface": "deploy", "priority": 99},
                    {"step": "erase_pstore", "interface": "deploy", "priority": 0},
                ]},
                "hardware_manager_version": {"generic_hardware_manager": "1.2"},
            })),
            "get_hardware_info" => {
                Some(json!({"disks": [], "interfaces": self.interfaces, "cpu": {"count": 2},
                                               "memory": {"total": 1 << 30}, "boot": {"current_boot_mode": "bios"}}))
            }
            "sync" => Some(Value::Null),
            _ => None,
        };
        let status = if result.is_some() { "SUCCEEDED" } else { "RUNNING" };
        let command = json!({"id": format!("0000-{}", self.numbers), "command_name": name,
                             "command_status": status, "command_error": null, "command_result": result});
        self.commands.push(command.clone());
        self.begun.push(body);
        reply(200, command.to_string())
    }
}
