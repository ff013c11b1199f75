//! Logging in: basic, a session, or whichever of the two the BMC offers; renewal of sessions that ran out.

use std::time::Duration;

use reqwest::header::{CONNECTION, HeaderName};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use tracing::{debug, warn};

use super::client::{Client, Inner};
use super::driver_info::{AuthType, ConnectionInfo, Credentials};
use super::errors::{BmcError, BmcErrorKind};
use super::exchange::{Answer, Call};
use super::messages::ErrorBody;
use super::resource::Fields;
use crate::secret::Secret;

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");
/// A logout is a courtesy; nobody waits for it longer.
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(10);

/// How this client is logged in at the moment.
#[derive(Debug)]
pub(super) enum AuthState {
    Anonymous,
    Basic,
    LoggedOut {
        /// There was a session before, so a failure is never a reason for basic.
        proven: bool,
        /// Logins in a row that the BMC answered with 5xx.
        failures: u32,
    },
    Session(Session),
}

#[derive(Clone, Debug)]
pub(super) struct Session {
    token: Secret,
    /// Absent when the BMC did not tell; such a session cannot be closed.
    uri: Option<String>,
}

/// What a request carries.
pub(super) enum Grant {
    Anonymous,
    Basic(Credentials),
    Session(Secret),
}

impl Grant {
    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Anonymous => request,
            Self::Basic(given) => request.basic_auth(&given.username, Some(given.password.reveal())),
            Self::Session(token) => request.header(TOKEN, token.reveal()),
        }
    }
}

impl AuthState {
    pub(super) fn new(info: &ConnectionInfo) -> Self {
        match (&info.credentials, info.auth_type) {
            (None, _) => Self::Anonymous,
            (Some(_), AuthType::Basic) => Self::Basic,
            (Some(_), AuthType::Session | AuthType::Auto) => Self::LoggedOut { proven: false, failures: 0 },
        }
    }

    /// Forgets the session and hands it out to be closed.
    pub(super) fn take_session(&mut self) -> Option<Session> {
        match std::mem::replace(self, Self::LoggedOut { proven: true, failures: 0 }) {
            Self::Session(session) => Some(session),
            other => {
                *self = other;
                None
            }
        }
    }
}

impl Inner {
    pub(super) fn logout_request(&self, session: &Session) -> Option<RequestBuilder> {
        let url = self.info.root.join(session.uri.as_deref()?).ok()?;
        let request = self.http.delete(url).timeout(LOGOUT_TIMEOUT).header(CONNECTION, "close");
        Some(Grant::Session(session.token.clone()).apply(request))
    }

    /// Removes the password from what a BMC said.
    pub(super) fn blot_out(&self, body: ErrorBody) -> ErrorBody {
        match &self.info.credentials {
            Some(credentials) => body.without(credentials.password.reveal()),
            None => body,
        }
    }
}

impl Client {
    /// Sends with credentials; a session that the BMC no longer knows is replaced once.
    pub(super) async fn send_authorized(&self, call: &Call<'_>) -> Result<Answer, BmcError> {
        let grant = self.grant().await?;
        let error = match self.transmit(call, &grant).await {
            Err(error) if matches!(error.kind(), BmcErrorKind::Denied { .. }) => error,
            result => return result,
        };
        let Grant::Session(used) = &grant else { return Err(error) };
        debug!(bmc = self.inner.address, "session refused, opening another");
        let forgotten = self.forget(used).await;
        if error.status() == Some(403) && forgotten.is_some() {
            // The session may be good and only the right be missing; left open it would fill the BMC's few places.
            self.log_out(forgotten).await;
        }
        let renewed = self.grant().await?;
        self.transmit(call, &renewed).await
    }

    /// Drops the session unless another task has already replaced it.
    async fn forget(&self, used: &Secret) -> Option<Session> {
        let mut state = self.inner.auth.lock().await;
        let current = matches!(&*state, AuthState::Session(session) if session.token == *used);
        if current { state.take_session() } else { None }
    }

    /// Ends the session, if there is one; a BMC has only a handful.
    pub async fn close(&self) {
        let session = self.inner.auth.lock().await.take_session();
        self.log_out(session).await;
    }

    async fn log_out(&self, session: Option<Session>) {
        if let Some(request) = session.and_then(|session| self.inner.logout_request(&session)) {
            finish_logout(request).await;
        }
    }

    /// The credentials to send, logging in first where that is needed. Holds the lock meanwhile, so that concurrent
    /// calls share one login.
    async fn grant(&self) -> Result<Grant, BmcError> {
        let mut state = self.inner.auth.lock().await;
        let credentials = self.inner.info.credentials.as_ref();
        let (proven, failures) = match (&*state, credentials) {
            (AuthState::Anonymous, _) | (_, None) => return Ok(Grant::Anonymous),
            (AuthState::Basic, Some(given)) => return Ok(Grant::Basic(given.clone())),
            (AuthState::Session(session), _) => return Ok(Grant::Session(session.token.clone())),
            (AuthState::LoggedOut { proven, failures }, Some(_)) => (*proven, *failures),
        };
        let given = credentials.expect("without credentials the grant is Anonymous").clone();
        let error = match self.log_in(&given).await {
            Ok(session) => {
                let token = session.token.clone();
                *state = AuthState::Session(session);
                return Ok(Grant::Session(token));
            }
            Err(error) => error.during("log in"),
        };
        let broken = error.status().is_some_and(|status| status >= 500);
        let failures = if broken { failures + 1 } else { 0 };
        // A BMC that is only booting gets time before it is taken for one that has no sessions.
        let final_answer = !broken || failures >= self.timing().writes.attempts;
        if self.inner.info.auth_type == AuthType::Auto && !proven && final_answer && is_refusal(&error) {
            debug!(%error, "no session to be had, using basic authentication");
            *state = AuthState::Basic;
            return Ok(Grant::Basic(given));
        }
        *state = AuthState::LoggedOut { proven, failures };
        Err(error.into_login_failure())
    }

    /// Creates a session (DSP0266, "Session management").
    async fn log_in(&self, given: &Credentials) -> Result<Session, BmcError> {
        // One try each: the call that needs the login is the one that is repeated.
        let root = self.root_for_login().await?;
        let uri = match root.get("Links").and_then(|links| links.link("Sessions")) {
            Some(uri) => uri.to_owned(),
            // Asking SessionService for the place would mostly need the session that is to be made.
            None => format!("{}SessionService/Sessions", self.inner.info.root.path()),
        };
        let body = json!({"UserName": given.username, "Password": given.password.reveal()});
        let call = Call { body: Some(&body), ..Call::new(Method::POST, &uri, self.timing().request) };
        let answer = self.transmit(&call, &Grant::Anonymous).await?;
        let Some(token) = answer.header(&TOKEN) else {
            let kind = BmcErrorKind::Malformed("a session without a token".into());
            return Err(self.error(call.describe(), kind));
        };
        let place = answer.location().or_else(|| answer.body.text("@odata.id"));
        let uri = place.filter(|place| self.resolve(place).is_ok()).map(str::to_owned);
        if uri.is_none() {
            warn!(bmc = self.inner.address, "the BMC did not name the new session; it cannot be closed");
        }
        Ok(Session { token: Secret::new(token), uri })
    }
}

async fn finish_logout(request: RequestBuilder) {
    match request.send().await {
        Ok(answer) => debug!(status = answer.status().as_u16(), "BMC session closed"),
        // It will expire by itself.
        Err(error) => debug!(error = %error.without_url(), "BMC session not closed"),
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let Some(session) = self.auth.get_mut().take_session() else { return };
        if let (Some(request), Ok(runtime)) =
            (self.logout_request(&session), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(finish_logout(request));
        }
    }
}

/// Whether the BMC itself refused the login; on a lost connection the password is not offered in another way.
fn is_refusal(error: &BmcError) -> bool {
    matches!(
        error.kind(),
        BmcErrorKind::Denied { .. } | BmcErrorKind::Refused { .. } | BmcErrorKind::Malformed(_)
    )
}
