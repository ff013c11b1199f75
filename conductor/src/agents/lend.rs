//! Lent connections: dialled by the conductor, used by the agent as the HTTP client (PTTH).

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, StatusCode};
use tacit_protocol::v2::UPGRADE_PTTH;
use tokio::sync::oneshot;

use crate::images::Allowance;

use super::client::AgentClient;
use super::error::AgentError;

/// How long an agent may take to accept a connection that it was offered.
const ACCEPT_LIMIT: Duration = Duration::from_secs(20);
const FAULT_SIZE: usize = 64 * 1024;

/// How a lent connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LendEnd {
    /// Requests that the agent made over it.
    pub requests: u64,
    /// Why it broke; `None` when the agent closed it between two requests.
    pub broken: Option<String>,
}

/// A connection on which the agent is now the client.
pub(super) struct Lent {
    connection: Upgraded,
}

impl AgentClient {
    /// Dials the agent, lends it the connection and answers its requests as `allowance` says, until the agent closes
    /// it or it breaks.
    ///
    /// # Errors
    /// When the connection cannot be made or the agent does not want it.
    pub async fn lend(&self, allowance: Arc<Allowance>) -> Result<LendEnd, AgentError> {
        Ok(self.offer().await?.serve(allowance, oneshot::channel().0).await)
    }

    /// Dials and offers, up to the point where the agent may use the connection.
    pub(super) async fn offer(&self) -> Result<Lent, AgentError> {
        let address = self.address();
        let (mut sender, connection) = self.dialler.dial().await?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%address, %error, "connection to lend ended");
            }
        });
        let mut request = self.request(&Method::POST, "/v2/lend", None)?;
        request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        request.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(UPGRADE_PTTH));
        let upgrade = async {
            let broken = |error: hyper::Error| AgentError::connection(address, error);
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            if status != StatusCode::SWITCHING_PROTOCOLS {
                let body = Limited::new(response.into_body(), FAULT_SIZE).collect().await;
                let body = body.map(|body| body.to_bytes()).unwrap_or_default();
                return Err(self.refused(status, &body));
            }
            let token =
                response.headers().get(header::UPGRADE).map(HeaderValue::as_bytes).unwrap_or_default();
            if !token.eq_ignore_ascii_case(UPGRADE_PTTH.as_bytes()) {
                let detail = format!("upgrades to {:?}", String::from_utf8_lossy(token));
                return Err(AgentError::Protocol { address, detail });
            }
            Ok(Lent { connection: hyper::upgrade::on(response).await.map_err(broken)? })
        };
        tokio::time::timeout(ACCEPT_LIMIT, upgrade)
            .await
            .map_err(|_| AgentError::timeout(address, "upgrade to a lent connection"))?
    }
}

impl Lent {
    /// Serves until the other end closes. `taken` is told as soon as the first request arrives, and
    /// dropped untold when none came.
    pub(super) async fn serve(self, allowance: Arc<Allowance>, taken: oneshot::Sender<()>) -> LendEnd {
        let requests = AtomicU64::new(0);
        let taken = Mutex::new(Some(taken));
        let service = service_fn(|request: Request<Incoming>| {
            requests.fetch_add(1, Ordering::Relaxed);
            let first = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Whoever lent a single connection does not wait to hear this.
            let _heard = first.map(|taken| taken.send(()).is_ok());
            let allowance = Arc::clone(&allowance);
            async move { Ok::<_, Infallible>(allowance.serve(request).await) }
        });
        // No limit on idle time: an idle connection is what the agent was promised.
        let served =
            http1::Builder::new().header_read_timeout(None).serve_connection(self.connection, service).await;
        let broken = served.err().map(|error| with_sources(&error));
        LendEnd { requests: requests.into_inner(), broken }
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
