//! The Redfish client of one system: connection, cached facts and the verbs that the procedures are made of.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, Url};
use serde_json::Value;
use tokio::sync::{Mutex, OnceCell};

use super::auth::AuthState;
use super::driver_info::ConnectionInfo;
use super::errors::{BmcError, BmcErrorKind};
use super::exchange::{Answer, Call};
use super::timing::Timing;
use super::tls;

/// A Redfish client for one system of one BMC. Cheap to clone; clones share one login.
#[derive(Clone)]
pub struct Client {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) info: ConnectionInfo,
    /// The BMC's address for messages.
    pub(super) address: String,
    pub(super) http: reqwest::Client,
    pub(super) timing: Timing,
    pub(super) auth: Mutex<AuthState>,
    /// The service root, which may be read without credentials.
    pub(super) root: OnceCell<Value>,
    pub(super) system_uri: OnceCell<String>,
}

impl Client {
    /// Prepares a client; opens no connection.
    ///
    /// # Errors
    /// [`BmcErrorKind::Setup`] when the certificates to verify with cannot be read.
    pub fn new(info: ConnectionInfo, timing: Timing) -> Result<Self, BmcError> {
        let address = info.address();
        let setup = |reason: String| BmcError::new(&address, "", BmcErrorKind::Setup(reason));
        let mut builder = reqwest::Client::builder()
            // A BMC is never behind a site's web proxy, and its password must not go there.
            .no_proxy()
            .http1_only()
            // Redirects are followed by hand: same origin only, and a POST keeps its body.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(0)
            .connect_timeout(timing.connect)
            .user_agent(concat!("tacit/", env!("CARGO_PKG_VERSION")));
        if info.root.scheme() == "https" {
            let config = tls::client_config(&info.verify_ca)
                .map_err(|reason| setup(format!("driver_info[\"redfish_verify_ca\"]: {reason}")))?;
            builder = builder.use_preconfigured_tls(config);
        } else {
            builder =
                builder.use_preconfigured_tls(tls::client_config(&super::VerifyCa::Off).map_err(setup)?);
        }
        let http = builder.build().map_err(|error| setup(error.to_string()))?;
        let auth = Mutex::new(AuthState::new(&info));
        let inner =
            Inner { info, address, http, timing, auth, root: OnceCell::new(), system_uri: OnceCell::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    #[cfg(test)]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(super) fn timing(&self) -> &Timing {
        &self.inner.timing
    }

    pub(super) fn error(&self, attempt: impl Into<String>, kind: BmcErrorKind) -> BmcError {
        BmcError::new(&self.inner.address, attempt, kind)
    }

    pub(super) fn unsupported(&self, reason: impl Into<String>) -> BmcError {
        self.error("", BmcErrorKind::NotSupported(reason.into()))
    }

    /// Resolves a reference of the BMC against the service root.
    ///
    /// # Errors
    /// [`BmcErrorKind::ForeignOrigin`] when it leads to another scheme, host or port.
    pub(super) fn resolve(&self, uri: &str) -> Result<Url, BmcError> {
        let root = &self.inner.info.root;
        match root.join(uri) {
            Ok(url) if url.origin() == root.origin() && url.username().is_empty() => Ok(url),
            _ => Err(self.error("", BmcErrorKind::ForeignOrigin(uri.to_owned()))),
        }
    }

    pub(super) async fn get(&self, uri: &str) -> Result<Answer, BmcError> {
        self.send(&Call::new(Method::GET, uri, self.timing().request)).await
    }

    /// GET where absence is an answer: `None` for 404.
    pub(super) async fn find(&self, uri: &str) -> Result<Option<Answer>, BmcError> {
        match self.get(uri).await {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// POST to an action. Carries no `If-Match`, which some BMCs answer with 412, unless this BMC demands one.
    pub(super) async fn post(
        &self,
        uri: &str,
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Answer, BmcError> {
        let call = Call { body, ..Call::new(Method::POST, uri, timeout) };
        match self.send(&call).await {
            Err(error) if demands_precondition(&error) => {
                self.send(&Call { if_match: Some("*"), ..call }).await
            }
            result => result,
        }
    }
}

/// Whether the BMC insists on `If-Match`.
pub(super) fn demands_precondition(error: &BmcError) -> bool {
    error.status() == Some(428) || error.says("PreconditionHeaderMissing")
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("info", &self.inner.info).finish_non_exhaustive()
    }
}
