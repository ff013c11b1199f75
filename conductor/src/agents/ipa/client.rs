//! The requests of `/v1` that a conductor needs, each over a connection of its own.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tacit_protocol::v1::{Command, CommandRequest, Fault};
use tokio_util::either::Either;

use super::settings::IpaSettings;
use crate::agents::dial::{Dialler, Sender, tcp};
use crate::agents::error::AgentError;
use crate::chain::chain;
use crate::pki::anonymous_client_config;
use crate::secret::Secret;

/// How long an answer may take that IPA has at hand.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// How long a request may take that waits for a whole command: synchronous ones are carried out before the answer, and
/// flushing a slow disk takes its time.
const COMMAND_LIMIT: Duration = Duration::from_secs(600);
/// Largest answer read, in bytes; the largest sent list an inventory or two.
const ANSWER_SIZE: usize = 16 * 1024 * 1024;
/// Most commands that an IPA may list: it forgets none until it is restarted.
const MOST_COMMANDS: usize = 10_000;
/// Longest text of IPA's that is shown, in characters.
const LONGEST_TEXT: usize = 1000;
/// How long [`IpaClient::run`](super::run) goes on trying while IPA does not answer at all.
const PATIENCE: Duration = Duration::from_secs(120);
const COMMANDS: &str = "/v1/commands/";

/// Speaks to the IPA at one address. Knows the token and shows it to nobody else: not in errors, not in logs.
#[derive(Clone)]
pub struct IpaClient {
    address: SocketAddr,
    /// `None` where the operator wants no TLS.
    tls: Option<Dialler>,
    token: Secret,
    /// `agent_token=…`, as it stands in a URL.
    query: Secret,
    pub(super) patience: Duration,
    answer_limit: Duration,
}

/// Answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct IpaStatus {
    /// Unix time.
    pub started_at: Option<f64>,
    pub version: String,
}

impl IpaStatus {
    /// Tells one run of an IPA from the next.
    pub fn run_id(&self) -> String {
        self.started_at.map(|at| at.to_string()).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Listed {
    commands: Vec<Command>,
}

/// What became of a command that was sent.
pub(super) enum Sent {
    Taken(Command),
    /// IPA works on another command.
    Busy(AgentError),
    /// No byte of it left this machine.
    Unsent(AgentError),
    /// It may have arrived, or not.
    Unknown(AgentError),
    Refused(AgentError),
}

impl IpaClient {
    /// # Errors
    /// When TLS cannot be prepared. Nothing is dialled yet.
    pub fn new(address: SocketAddr, settings: &IpaSettings) -> Result<Self, AgentError> {
        let pinned =
            |certificate| Ok::<_, AgentError>(Dialler::new(address, anonymous_client_config(certificate)?));
        let tls = settings.certificate.as_ref().map(pinned).transpose()?;
        let pair = [("agent_token", settings.token.reveal())];
        let url = Url::parse_with_params("http://ipa/", pair).expect("the base is a URL");
        let query = Secret::new(url.query().unwrap_or_default());
        let token = settings.token.clone();
        Ok(Self { address, tls, token, query, patience: PATIENCE, answer_limit: ANSWER_LIMIT })
    }

    /// How long [`Self::run`] goes on trying while IPA does not answer at all; two minutes when not set.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// How long IPA may take for an answer that it has at hand; twenty seconds when not set.
    #[must_use]
    pub fn with_answer_limit(mut self, limit: Duration) -> Self {
        self.answer_limit = limit;
        self
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Who answers. Needs no token, and none is sent.
    pub async fn status(&self) -> Result<IpaStatus, AgentError> {
        let (status, text) = self.exchange(self.bare(Method::GET, "/v1/status", None)?).await?;
        let status: IpaStatus = self.expect(status, &text)?;
        let plain = status.version.len() <= 64 && status.version.bytes().all(|byte| byte.is_ascii_graphic());
        if plain { Ok(status) } else { Err(self.protocol("a version that is no version")) }
    }

    /// All commands since IPA started, oldest first.
    ///
    /// # Errors
    /// [`AgentError::Refused`] with status 500 once a command failed in a way that IPA cannot put into words: it lists
    /// none then until it is restarted.
    pub async fn commands(&self) -> Result<Vec<Command>, AgentError> {
        let (status, text) = self.exchange(self.with_token(Method::GET, COMMANDS, None)?).await?;
        let listed: Listed = self.expect(status, &text)?;
        if listed.commands.len() > MOST_COMMANDS {
            return Err(self.protocol(&format!("it lists {} commands", listed.commands.len())));
        }
        listed.commands.into_iter().map(|command| self.checked(command)).collect()
    }

    /// A command by its id; `None` when IPA does not know it.
    pub async fn command(&self, id: &str) -> Result<Option<Command>, AgentError> {
        let path = format!("{COMMANDS}{id}");
        let (status, text) = self.exchange(self.with_token(Method::GET, &path, None)?).await?;
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.expect(status, &text).and_then(|command| self.checked(command)).map(Some)
    }

    /// Sends a command, once.
    pub(super) async fn send(&self, request: &CommandRequest) -> Sent {
        let request = serde_json::to_vec(request).map_err(|error| self.protocol(&error.to_string()));
        let request = request.and_then(|body| self.with_token(Method::POST, COMMANDS, Some(body.into())));
        let request = match request {
            Ok(request) => request,
            Err(error) => return Sent::Refused(error),
        };
        let sender = match self.dial().await {
            Ok(sender) => sender,
            Err(error) => return Sent::Unsent(error),
        };
        match self.answer(sender, request, COMMAND_LIMIT).await {
            Ok((status, text)) if status.is_success() => {
                match self.expect(status, &text).and_then(|command| self.checked(command)) {
                    Ok(command) => Sent::Taken(command),
                    // It has the command and answers nonsense: no request will bring that to light.
                    Err(error) => Sent::Refused(error),
                }
            }
            Ok((StatusCode::CONFLICT, text)) => Sent::Busy(self.refused(StatusCode::CONFLICT, &text)),
            Ok((status, text)) => Sent::Refused(self.refused(status, &text)),
            Err(error) => Sent::Unknown(error),
        }
    }

    /// Ids go into paths and into the store: they must be what IPA makes.
    fn checked(&self, command: Command) -> Result<Command, AgentError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if (1..=64).contains(&command.id.len()) && command.id.bytes().all(plain) {
            return Ok(command);
        }
        Err(self.protocol("an id of a command that is no id"))
    }

    fn expect<T: DeserializeOwned>(&self, status: StatusCode, text: &str) -> Result<T, AgentError> {
        if !status.is_success() {
            return Err(self.refused(status, text));
        }
        serde_json::from_str(text).map_err(|error| self.protocol(&format!("answer: {error}")))
    }

    fn refused(&self, status: StatusCode, text: &str) -> AgentError {
        if status == StatusCode::UNAUTHORIZED {
            return AgentError::TokenRefused { address: self.address() };
        }
        let fault =
            serde_json::from_str::<Fault>(text).map_or_else(|_| text.to_owned(), |fault| fault.faultstring);
        AgentError::Refused { address: self.address(), status: status.as_u16(), fault: one_line(&fault) }
    }

    fn protocol(&self, detail: &str) -> AgentError {
        AgentError::Protocol { address: self.address(), detail: one_line(detail) }
    }

    fn with_token(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<Request<Full<Bytes>>, AgentError> {
        self.bare(method, &format!("{path}?{}", self.query.reveal()), body)
    }

    fn bare(
        &self,
        method: Method,
        target: &str,
        body: Option<Bytes>,
    ) -> Result<Request<Full<Bytes>>, AgentError> {
        Request::builder()
            .method(method)
            .uri(target)
            .header(header::HOST, self.address().to_string())
            .header(header::CONNECTION, HeaderValue::from_static("close"))
            .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|_| self.protocol("a request that HTTP cannot carry"))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, String), AgentError> {
        let sender = self.dial().await?;
        self.answer(sender, request, self.answer_limit).await
    }

    async fn dial(&self) -> Result<Sender, AgentError> {
        let address = self.address();
        let stream = match &self.tls {
            Some(dialler) => Either::Left(dialler.connect().await.map_err(|error| self.of_tls(error))?),
            None => Either::Right(tcp(address).await?),
        };
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| AgentError::connection(address, error))?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "connection to IPA ended");
            }
        });
        Ok(sender)
    }

    /// Status and text of an answer; without the token, which IPA repeats in redirects.
    async fn answer(
        &self,
        mut sender: Sender,
        request: Request<Full<Bytes>>,
        limit: Duration,
    ) -> Result<(StatusCode, String), AgentError> {
        let address = self.address();
        let answer = async {
            let broken = |error: hyper::Error| self.of_tls(AgentError::connection(address, error));
            sender.ready().await.map_err(broken)?;
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_SIZE).collect().await;
            match body {
                Ok(body) => Ok((status, body.to_bytes())),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                    Err(self.protocol(&format!("an answer of more than {ANSWER_SIZE} bytes")))
                }
                Err(error) => Err(self.of_tls(AgentError::connection(address, error))),
            }
        };
        let answer = tokio::time::timeout(limit, answer).await;
        let (status, body) = answer.map_err(|_| AgentError::timeout(address, "answer"))??;
        let text = String::from_utf8_lossy(&body);
        let text = text.replace(self.query.reveal(), "agent_token=***").replace(self.token.reveal(), "***");
        Ok((status, text))
    }

    /// IPA asks nobody for a certificate: an alert means that TLS itself does not come about.
    fn of_tls(&self, error: AgentError) -> AgentError {
        match error {
            AgentError::CallerRefused { source, .. } => {
                self.protocol(&format!("TLS 1.3: {}", chain(&*source)))
            }
            other => other,
        }
    }
}

/// What an agent says, fit for a line of a log: not too long, and without characters that do things.
pub(crate) fn one_line(text: &str) -> String {
    let line: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST_TEXT).collect();
    if text.trim().chars().nth(LONGEST_TEXT).is_some() { format!("{line}…") } else { line }
}
