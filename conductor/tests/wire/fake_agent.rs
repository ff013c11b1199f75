//! An agent in this process: TLS with client certificates, `/v2`, and the client end of lent connections.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::json;
use tacit_conductor::agents::AgentClient;
use tacit_conductor::pki::{NodeIdentity, Pki};
use tacit_protocol::error::{DiskState, OperationError};
use tacit_protocol::v2::{
    Clock, Event, EventKind, EventPage, Identity, Operation, OperationRequest, OperationState, Progress,
    Status, Trust, UPGRADE_PTTH,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

pub(crate) type Lent = SendRequest<Empty<Bytes>>;

pub(crate) struct FakeAgent {
    pub(crate) address: SocketAddr,
    pub(crate) identity: NodeIdentity,
    pub(crate) node: Uuid,
    pub(crate) shared: Arc<Shared>,
    listener: AbortHandle,
}

pub(crate) struct Shared {
    pub(crate) node: Uuid,
    /// TLS handshakes that came to an end.
    pub(crate) handshakes: AtomicU64,
    pub(crate) requests: AtomicU64,
    /// Connections lent so far.
    pub(crate) offers: AtomicU64,
    /// Answers all but requests for operations.
    pub(crate) begins_nothing: AtomicBool,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    lent_in: mpsc::UnboundedSender<Lent>,
    lent_out: tokio::sync::Mutex<mpsc::UnboundedReceiver<Lent>>,
    connections: Mutex<Vec<AbortHandle>>,
}

#[derive(Default)]
struct State {
    boot_id: String,
    operations: BTreeMap<String, (OperationRequest, Operation)>,
    events: Vec<Event>,
    fetched: Vec<u8>,
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn roots(pki: &Pki) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pki.ca_pem().as_bytes()).unwrap()).unwrap();
    Arc::new(roots)
}

pub(crate) fn server_config(
    pki: &Pki,
    identity: &NodeIdentity,
    version: &'static rustls::SupportedProtocolVersion,
) -> ServerConfig {
    let callers = WebPkiClientVerifier::builder_with_provider(roots(pki), provider()).build().unwrap();
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[version])
        .unwrap()
        .with_client_cert_verifier(callers)
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).unwrap()],
            PrivateKeyDer::from_pem_slice(identity.private_key_pem.as_bytes()).unwrap(),
        )
        .unwrap()
}

impl FakeAgent {
    pub(crate) async fn start(pki: &Pki) -> Self {
        let node = Uuid::new_v4();
        let identity = pki.issue_node(node, [127, 0, 0, 1].into()).unwrap();
        let config = server_config(pki, &identity, &rustls::version::TLS13);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (lent_in, lent_out) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            node,
            handshakes: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            offers: AtomicU64::new(0),
            begins_nothing: AtomicBool::new(false),
            state: Mutex::new(State { boot_id: "boot-1".to_owned(), ..State::default() }),
            changed: watch::Sender::new(0),
            lent_in,
            lent_out: tokio::sync::Mutex::new(lent_out),
            connections: Mutex::default(),
        });
        let accepting = accept(listener, TlsAcceptor::from(Arc::new(config)), Arc::clone(&shared));
        let listener = tokio::spawn(accepting).abort_handle();
        Self { address, identity, node, shared, listener }
    }

    pub(crate) fn client(&self, pki: &Pki) -> AgentClient {
        AgentClient::new(pki, self.address, &self.identity.certificate_pem).unwrap()
    }

    /// Breaks every API connection, as a link that goes down does.
    pub(crate) fn drop_connections(&self) {
        for connection in self.shared.connections.lock().unwrap().drain(..) {
            connection.abort();
        }
    }

    /// Is gone: does not listen any more.
    pub(crate) fn vanish(&self) {
        self.listener.abort();
        self.drop_connections();
    }

    /// A new process, which may know the operations of the last one.
    pub(crate) fn restart(&self, boot_id: &str, keep_operations: bool) {
        let mut state = self.shared.state.lock().unwrap();
        state.boot_id = boot_id.to_owned();
        state.events.clear();
        if !keep_operations {
            state.operations.clear();
        }
        drop(state);
        self.drop_connections();
    }

    pub(crate) fn fetched(&self) -> Vec<u8> {
        self.shared.state.lock().unwrap().fetched.clone()
    }

    /// Waits for the `count`th connection that was lent.
    pub(crate) async fn offered(&self, count: u64) {
        let mut changed = self.shared.changed.subscribe();
        changed.wait_for(|_| self.shared.offers.load(Ordering::SeqCst) >= count).await.unwrap();
    }

    /// Waits until an operation of this id was started.
    pub(crate) async fn started(&self, id: &str) {
        let mut changed = self.shared.changed.subscribe();
        changed.wait_for(|_| self.shared.operation(id).is_some()).await.unwrap();
    }

    pub(crate) async fn take_lent(&self) -> Lent {
        self.shared.lent_out.lock().await.recv().await.unwrap()
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let connection = tokio::spawn(serve(stream, tls.clone(), Arc::clone(&shared)));
        shared.connections.lock().unwrap().push(connection.abort_handle());
    }
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(stream) = tls.accept(stream).await else { return };
    shared.handshakes.fetch_add(1, Ordering::SeqCst);
    let service = service_fn(|request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // Broken connections are what these tests are about.
    drop(connection.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
}

fn reply(status: u16, value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    let body = Full::new(serde_json::to_vec(value).unwrap().into());
    Response::builder().status(status).body(body).unwrap()
}

fn fault(status: u16, text: &str) -> Response<Full<Bytes>> {
    reply(status, &json!({"faultcode": "Client", "faultstring": text}))
}

impl Shared {
    pub(crate) fn operation(&self, id: &str) -> Option<Operation> {
        self.state.lock().unwrap().operations.get(id).map(|(_, operation)| operation.clone())
    }

    fn touch(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(crate) fn event(&self, operation: Option<&str>, kind: EventKind) {
        let mut state = self.state.lock().unwrap();
        let seq = state.events.len() as u64 + 1;
        state.events.push(Event { seq, time: 0.0, operation: operation.map(str::to_owned), kind });
        drop(state);
        self.touch();
    }

    pub(crate) fn finish(&self, id: &str, end: OperationState, error: Option<OperationError>) {
        let mut state = self.state.lock().unwrap();
        if let Some((_, operation)) = state.operations.get_mut(id) {
            operation.state = end;
            operation.error.clone_from(&error);
            operation.finished_at = Some(1.0);
        }
        drop(state);
        self.event(Some(id), EventKind::Finished { state: end, error });
    }

    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let path = request.uri().path().to_owned();
        let id = path.strip_prefix("/v2/operations/");
        match (request.method().clone(), path.as_str(), id) {
            (Method::GET, "/v2/status", _) => reply(200, &self.status()),
            (Method::PUT, "/v2/clock", _) => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                reply(200, &serde_json::from_slice::<Clock>(&body).unwrap())
            }
            (Method::GET, "/v2/operations", _) => {
                let state = self.state.lock().unwrap();
                reply(200, &state.operations.values().map(|(_, operation)| operation).collect::<Vec<_>>())
            }
            (Method::PUT, _, Some(_)) if self.begins_nothing.load(Ordering::SeqCst) => fault(503, "not now"),
            (Method::PUT, _, Some(id)) => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                self.start(id, serde_json::from_slice(&body).unwrap())
            }
            (Method::GET, _, Some(id)) => match self.operation(id) {
                Some(operation) => reply(200, &operation),
                None => fault(404, "no such operation"),
            },
            (Method::DELETE, _, Some(id)) => {
                self.finish(id, OperationState::Cancelled, None);
                reply(202, &self.operation(id).unwrap())
            }
            (Method::GET, "/v2/events", _) => self.events(request.uri().query().unwrap()).await,
            (Method::POST, "/v2/lend", _) if request.headers()[header::UPGRADE] == UPGRADE_PTTH => {
                let upgrade = hyper::upgrade::on(&mut request);
                tokio::spawn(async move {
                    let connection = upgrade.await.unwrap();
                    let (sender, connection) =
                        hyper::client::conn::http1::handshake(connection).await.unwrap();
                    tokio::spawn(connection);
                    self.lent_in.send(sender).unwrap();
                    self.offers.fetch_add(1, Ordering::SeqCst);
                    self.touch();
                });
                Response::builder()
                    .status(StatusCode::SWITCHING_PROTOCOLS)
                    .header(header::CONNECTION, "Upgrade")
                    .header(header::UPGRADE, UPGRADE_PTTH)
                    .body(Full::default())
                    .unwrap()
            }
            _ => fault(404, "no such path"),
        }
    }

    fn status(&self) -> Status {
        let state = self.state.lock().unwrap();
        Status {
            version: "0.1.0".to_owned(),
            boot_id: state.boot_id.clone(),
            started_at: 0.0,
            first_answer_uptime: None,
            agent_startup_seconds: 0.1,
            preparing: false,
            rss_bytes: 0,
            rss_peak_bytes: 0,
            node_uuid: self.node.to_string(),
            trust: Trust::Media,
            identity: Identity::default(),
            running: None,
            last_event: state.events.len() as u64,
        }
    }

    fn start(self: &Arc<Self>, id: &str, request: OperationRequest) -> Response<Full<Bytes>> {
        let mut state = self.state.lock().unwrap();
        if let Some((known, operation)) = state.operations.get(id) {
            return if *known == request { reply(200, operation) } else { fault(409, "another request") };
        }
        if state.operations.values().any(|(_, operation)| !operation.state.is_final()) {
            return fault(409, "agent is busy");
        }
        let operation = Operation {
            id: id.to_owned(),
            command: request.command.clone(),
            state: OperationState::Running,
            result: None,
            error: None,
            started_at: 0.0,
            finished_at: None,
        };
        state.operations.insert(id.to_owned(), (request.clone(), operation.clone()));
        drop(state);
        self.event(Some(id), EventKind::Started { command: request.command.clone() });
        // `test.wait` ends when the test says so.
        if let Some(url) = request.params.get("url").and_then(|url| url.as_str()) {
            tokio::spawn(Arc::clone(self).fetch(id.to_owned(), url.to_owned()));
        }
        reply(201, &operation)
    }

    async fn events(&self, query: &str) -> Response<Full<Bytes>> {
        let number = |key: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(name, _)| *name == key)
                .map(|(_, value)| value.parse::<u64>().unwrap())
                .next()
                .unwrap()
        };
        let (after, wait) = (number("after"), number("wait"));
        let mut changed = self.changed.subscribe();
        let news = changed.wait_for(|_| self.state.lock().unwrap().events.len() as u64 > after);
        // No news is an answer, too.
        drop(tokio::time::timeout(Duration::from_secs(wait), news).await);
        let state = self.state.lock().unwrap();
        let events = state.events.iter().filter(|event| event.seq > after).cloned().collect();
        let last = state.events.len() as u64;
        reply(200, &EventPage { boot_id: state.boot_id.clone(), events, last, lost: 0 })
    }

    /// Fetches over lent connections, going on at the last byte after each break, as an agent does.
    async fn fetch(self: Arc<Self>, id: String, url: String) {
        let mut lent = self.lent_out.lock().await;
        let (mut data, mut etag, mut retries) = (Vec::new(), None, 0);
        loop {
            let Some(mut connection) = lent.recv().await else { return };
            let mut request = Request::get(&url).header(header::HOST, "image");
            if !data.is_empty() {
                request = request.header(header::RANGE, format!("bytes={}-", data.len()));
                request = request.header(header::IF_RANGE, etag.clone().expect("an image has a tag"));
            }
            let Ok(response) = connection.send_request(request.body(Empty::new()).unwrap()).await else {
                retries += 1;
                continue;
            };
            match response.status().as_u16() {
                200 => data.clear(),
                206 => {}
                status if status >= 500 => {
                    retries += 1;
                    continue;
                }
                status => {
                    let error = OperationError {
                        class: "ImageDownloadError".to_owned(),
                        code: 500,
                        message: "Error downloading image".to_owned(),
                        details: format!("status {status}"),
                        retry: false,
                        disk: DiskState::Untouched,
                        proofs: Vec::new(),
                    };
                    return self.finish(&id, OperationState::Failed, Some(error));
                }
            }
            etag = response.headers().get(header::ETAG).cloned();
            let mut body = response.into_body();
            let broke = loop {
                match body.frame().await {
                    Some(Ok(frame)) => data.extend_from_slice(&frame.into_data().unwrap()),
                    Some(Err(_)) => break true,
                    None => break false,
                }
            };
            let progress = Progress { source_bytes: data.len() as u64, retries, ..Progress::default() };
            self.event(Some(&id), EventKind::Progress(progress));
            if !broke {
                self.state.lock().unwrap().fetched = data;
                return self.finish(&id, OperationState::Succeeded, None);
            }
            retries += 1;
        }
    }
}
