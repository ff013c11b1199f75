//! The requests of `/v2`.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tacit_protocol::v1::Fault;
use tacit_protocol::v2;

use crate::pki::{Pki, PkiError};

use super::dial::{Dialler, Sender};
use super::error::AgentError;
use super::identity::{ExpectedIdentity, check_identity};
use super::record::BootRecord;

/// How long an agent may think about a request that it answers at once.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Largest answer read, in bytes; the largest sent are collected logs.
const ANSWER_SIZE: usize = 64 * 1024 * 1024;
/// Longest `wait` of the events request (`/v2` refuses more).
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long an operation may be without any answer from its agent.
const PATIENCE: Duration = Duration::from_secs(120);

/// Speaks to one agent in one boot. Clones share one idle connection.
#[derive(Clone)]
pub struct AgentClient {
    pub(super) dialler: Dialler,
    idle: Arc<Mutex<Option<Sender>>>,
    pub(super) patience: Duration,
    pub(super) boot_id: Option<String>,
}

impl AgentClient {
    /// Believes at `address` only the machine that has the key of `certificate_pem`.
    ///
    /// # Errors
    /// When that is no certificate. Nothing is dialled yet.
    pub fn new(pki: &Pki, address: SocketAddr, certificate_pem: &str) -> Result<Self, AgentError> {
        let pinned = CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(PkiError::Pinned)?;
        Self::pinning(pki, address, &pinned)
    }

    /// [`Self::new`] with a certificate that was seen, or read elsewhere.
    ///
    /// # Errors
    /// When no TLS can be set up with it. Nothing is dialled yet.
    pub fn pinning(pki: &Pki, address: SocketAddr, pinned: &CertificateDer<'_>) -> Result<Self, AgentError> {
        let dialler = Dialler::new(address, pki.client_config(pinned)?);
        Ok(Self { dialler, idle: Arc::default(), patience: PATIENCE, boot_id: None })
    }

    /// The agent of a boot on record.
    pub fn of_boot(pki: &Pki, boot: &BootRecord) -> Result<Self, AgentError> {
        Self::new(pki, boot.address, &boot.certificate_pem)
    }

    /// How long [`Self::run`] goes on trying while the agent does not answer at all; two minutes when not set.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The boot in which alone [`Self::run`] begins anything. After another start of the machine, it could not know what
    /// was begun before.
    #[must_use]
    pub fn in_boot(mut self, boot_id: Option<&str>) -> Self {
        self.boot_id = boot_id.map(str::to_owned);
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.dialler.address
    }

    /// Who answers and in what state.
    pub async fn status(&self) -> Result<v2::Status, AgentError> {
        self.get("/v2/status", ANSWER_LIMIT).await
    }

    /// [`Self::status`] of the machine that the record speaks of, or [`AgentError::WrongMachine`].
    pub async fn identify(&self, expected: &ExpectedIdentity) -> Result<v2::Status, AgentError> {
        let status = self.status().await?;
        match check_identity(expected, &status) {
            Err(AgentError::WrongMachine { detail, .. }) => {
                Err(AgentError::WrongMachine { address: Some(self.address()), detail })
            }
            other => other.map(|()| status),
        }
    }

    /// Gives the agent the time of this machine; returns the one that is now in force there.
    pub async fn set_clock(&self) -> Result<v2::Clock, AgentError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let (status, body) = self.put("/v2/clock", &v2::Clock { unix_time: now }).await?;
        self.expect(status, &body)
    }

    /// Starts an operation under an id of the caller's choice. The same request under the same id again changes
    /// nothing and returns how far it is.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with status 409 while another operation runs.
    pub async fn start(&self, id: &str, request: &v2::OperationRequest) -> Result<v2::Operation, AgentError> {
        self.start_or_attach(id, request).await.map(|(operation, _)| operation)
    }

    /// [`Self::start`], and whether it was this request that started it.
    pub(super) async fn start_or_attach(
        &self,
        id: &str,
        request: &v2::OperationRequest,
    ) -> Result<(v2::Operation, bool), AgentError> {
        let (status, body) = self.put(&operation_path(id), request).await?;
        Ok((self.expect(status, &body)?, status == StatusCode::CREATED))
    }

    /// An operation by its id; `None` when the agent does not know it.
    pub async fn operation(&self, id: &str) -> Result<Option<v2::Operation>, AgentError> {
        let (status, body) = self.exchange(Method::GET, &operation_path(id), None, ANSWER_LIMIT).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.expect(status, &body).map(Some)
    }

    /// All operations that the agent knows.
    pub async fn operations(&self) -> Result<Vec<v2::Operation>, AgentError> {
        self.get("/v2/operations", ANSWER_LIMIT).await
    }

    /// Asks a running operation to stop; it may take a while to.
    pub async fn cancel(&self, id: &str) -> Result<v2::Operation, AgentError> {
        let (status, body) = self.exchange(Method::DELETE, &operation_path(id), None, ANSWER_LIMIT).await?;
        self.expect(status, &body)
    }

    /// Events with a number above `after`: at once, or as soon as there is one, at most `wait` (≤ 60 s) later.
    pub async fn events(&self, after: u64, wait: Duration) -> Result<v2::EventPage, AgentError> {
        self.get(&events_path(after, wait), wait + ANSWER_LIMIT).await
    }

    /// [`Self::events`] from the process that gave the last answer; `None` when the connection to it is gone.
    pub(super) async fn more_events(
        &self,
        after: u64,
        wait: Duration,
    ) -> Option<Result<v2::EventPage, AgentError>> {
        let path = events_path(after, wait);
        let answer = self.over_idle(&Method::GET, &path, None, wait + ANSWER_LIMIT).await?;
        Some(answer.and_then(|(status, body)| self.expect(status, &body)))
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, limit: Duration) -> Result<T, AgentError> {
        let (status, body) = self.exchange(Method::GET, path, None, limit).await?;
        self.expect(status, &body)
    }

    pub(super) async fn put(
        &self,
        path: &str,
        value: &impl Serialize,
    ) -> Result<(StatusCode, Bytes), AgentError> {
        let body = serde_json::to_vec(value).map_err(|error| self.protocol(path, &error))?;
        self.exchange(Method::PUT, path, Some(body.into()), ANSWER_LIMIT).await
    }

    pub(super) fn expect<T: DeserializeOwned>(
        &self,
        status: StatusCode,
        body: &[u8],
    ) -> Result<T, AgentError> {
        if !status.is_success() {
            return Err(self.refused(status, body));
        }
        serde_json::from_slice(body).map_err(|error| self.protocol("answer", &error))
    }

    pub(super) fn refused(&self, status: StatusCode, body: &[u8]) -> AgentError {
        let fault = match serde_json::from_slice::<Fault>(body) {
            Ok(fault) => fault.faultstring,
            Err(_) => String::from_utf8_lossy(&body[..body.len().min(400)]).trim().to_owned(),
        };
        AgentError::Refused { address: self.address(), status: status.as_u16(), fault }
    }

    pub(super) fn protocol(&self, what: &str, error: &dyn std::fmt::Display) -> AgentError {
        AgentError::Protocol { address: self.address(), detail: format!("{what}: {error}") }
    }

    /// One request and its whole answer. Every request of `/v2` may be sent twice, so one that meets a connection
    /// that was closed while it lay idle is sent again over a new one.
    pub(super) async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), AgentError> {
        if let Some(answer) = self.over_idle(&method, path, body.as_ref(), limit).await {
            return answer;
        }
        self.exchange_once(method, path, body, limit).await
    }

    /// One request over a connection of its own, never sent a second time.
    pub(super) async fn exchange_once(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), AgentError> {
        let (sender, connection) = self.dialler.dial().await?;
        let address = self.address();
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "connection to agent ended");
            }
        });
        self.send(sender, self.request(&method, path, body.as_ref())?, limit).await
    }

    /// One request over the idle connection; `None` when there is none, or it turns out to be closed.
    async fn over_idle(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Bytes>,
        limit: Duration,
    ) -> Option<Result<(StatusCode, Bytes), AgentError>> {
        let sender = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        let sender = sender.filter(|sender| !sender.is_closed())?;
        let request = match self.request(method, path, body) {
            Ok(request) => request,
            Err(error) => return Some(Err(error)),
        };
        match self.send(sender, request, limit).await {
            Err(AgentError::Unreachable { source, .. }) if !is_timeout(&*source) => None,
            answer => Some(answer),
        }
    }

    pub(super) fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Bytes>,
    ) -> Result<Request<Full<Bytes>>, AgentError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address().to_string())
            .body(Full::new(body.cloned().unwrap_or_default()))
            .map_err(|error| self.protocol(path, &error))?;
        if body.is_some() {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        Ok(request)
    }

    async fn send(
        &self,
        mut sender: Sender,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), AgentError> {
        let address = self.address();
        let answer = async {
            let broken = |error: hyper::Error| AgentError::connection(address, error);
            sender.ready().await.map_err(broken)?;
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_SIZE).collect().await;
            let body = body.map_err(|error| AgentError::connection(address, error))?.to_bytes();
            Ok::<_, AgentError>((status, body))
        };
        let answer = tokio::time::timeout(limit, answer)
            .await
            .map_err(|_| AgentError::timeout(address, "answer"))??;
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Ok(answer)
    }
}

fn is_timeout(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut)
}

fn operation_path(id: &str) -> String {
    format!("/v2/operations/{id}")
}

fn events_path(after: u64, wait: Duration) -> String {
    format!("/v2/events?after={after}&wait={}", wait.min(LONGEST_WAIT).as_secs())
}
