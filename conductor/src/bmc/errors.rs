//! Errors of a BMC: which one, what was attempted, what came back and whether trying again can help.

use std::fmt;
use std::time::Duration;

use super::messages::ErrorBody;

/// A failed attempt at a BMC. Names the BMC by address, never by credentials.
#[derive(Debug)]
pub struct BmcError(Box<Failure>);

#[derive(Debug)]
struct Failure {
    bmc: String,
    attempt: String,
    kind: BmcErrorKind,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BmcErrorKind {
    /// The node's record does not describe a usable BMC.
    #[error("driver_info[\"{key}\"] {reason}")]
    DriverInfo { key: &'static str, reason: String },
    /// No driver of this name exists.
    #[error("there is no driver \"{0}\" (known: redfish, manual)")]
    UnknownDriver(String),
    /// No answer: refused, reset, timed out or cut off.
    #[error("no answer{}", if *.connected { " (the connection was lost)" } else { " (cannot connect)" })]
    Unreachable {
        /// Whether the request may have reached the BMC.
        connected: bool,
        #[source]
        source: reqwest::Error,
    },
    /// TLS could not be agreed on or the certificate is not trusted; see `redfish_verify_ca`.
    #[error("TLS failed (is the BMC's certificate trusted by redfish_verify_ca?)")]
    Tls(#[source] reqwest::Error),
    /// The client itself could not be set up.
    #[error("cannot set up the connection: {0}")]
    Setup(String),
    /// The credentials were refused (401), or what they allow does not reach that far (403).
    #[error("access denied (status {status}){}", Said(.body))]
    Denied { status: u16, body: ErrorBody },
    /// The BMC answered with an error.
    #[error("status {status}{}", Said(.body))]
    Refused { status: u16, body: ErrorBody, retry_after: Option<Duration> },
    /// The BMC did not open a session for another reason than the credentials; the request itself was not sent.
    #[error("no session (status {status}){}", Said(.body))]
    NoSession { status: u16, body: ErrorBody },
    /// The answer makes no sense.
    #[error("unusable answer: {0}")]
    Malformed(String),
    /// The BMC pointed to another scheme, host or port; nothing was sent there.
    #[error("refused to follow the BMC to another origin: {0}")]
    ForeignOrigin(String),
    /// This BMC offers no way to do what was asked.
    #[error("not supported by this BMC: {0}")]
    NotSupported(String),
    /// The system to manage cannot be told.
    #[error("{0}")]
    NoSystem(String),
    /// The request was accepted, but the state that was asked for was not reported in time.
    #[error("accepted, but after {} s the BMC still reports {seen}, not {wanted}", .waited.as_secs_f32())]
    Unmoved { wanted: String, seen: String, waited: Duration },
    /// A task of the BMC ended badly.
    #[error("the BMC's task ended as {state}{}", Said(.body))]
    TaskFailed { state: String, body: ErrorBody },
}

/// A BMC's own words after a colon, or nothing.
struct Said<'a>(&'a ErrorBody);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        if text.is_empty() { Ok(()) } else { write!(f, ": {text}") }
    }
}

impl BmcError {
    pub(super) fn new(bmc: &str, attempt: impl Into<String>, kind: BmcErrorKind) -> Self {
        Self(Box::new(Failure { bmc: bmc.to_owned(), attempt: attempt.into(), kind }))
    }

    /// The same error with the greater purpose in front: `power on: POST /redfish/…`.
    pub(super) fn during(mut self, purpose: &str) -> Self {
        self.0.attempt = format!("{purpose}: {}", self.0.attempt);
        self
    }

    /// The BMC's address as the node's record has it; empty when there is none.
    #[must_use]
    pub fn bmc(&self) -> &str {
        &self.0.bmc
    }

    /// What was attempted, from the purpose down to the request.
    #[must_use]
    pub fn attempt(&self) -> &str {
        &self.0.attempt
    }

    #[must_use]
    pub fn kind(&self) -> &BmcErrorKind {
        &self.0.kind
    }

    /// The HTTP status, when the BMC answered the request with an error.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.0.kind {
            BmcErrorKind::Denied { status, .. } | BmcErrorKind::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match &self.0.kind {
            BmcErrorKind::Unreachable { .. }
            | BmcErrorKind::Malformed(_)
            | BmcErrorKind::Unmoved { .. }
            | BmcErrorKind::TaskFailed { .. } => true,
            BmcErrorKind::Refused { status, body, .. } => {
                matches!(status, 408 | 409 | 429 | 500 | 502 | 503 | 504) || is_busy(body)
            }
            BmcErrorKind::NoSession { status, .. } => matches!(status, 408 | 429 | 500..),
            _ => false,
        }
    }

    /// What the BMC said, when it said something.
    #[must_use]
    pub fn body(&self) -> Option<&ErrorBody> {
        match &self.0.kind {
            BmcErrorKind::Denied { body, .. }
            | BmcErrorKind::Refused { body, .. }
            | BmcErrorKind::NoSession { body, .. }
            | BmcErrorKind::TaskFailed { body, .. } => Some(body),
            _ => None,
        }
    }

    /// A refused login: as an answer to the request that needed it, the status would mean something else.
    pub(super) fn into_login_failure(mut self) -> Self {
        if let BmcErrorKind::Refused { status, body, .. } = self.0.kind {
            self.0.kind = BmcErrorKind::NoSession { status, body };
        }
        self
    }

    pub(super) fn says(&self, message_id: &str) -> bool {
        self.body().is_some_and(|body| body.has(message_id))
    }
}

/// Whether the BMC says that it is only busy, whatever the status: iDRAC whose data sources are not ready, iLO in the
/// middle of a state change, any BMC while the host is in its self test.
pub(super) fn is_busy(body: &ErrorBody) -> bool {
    body.mentions("SYS518")
        || (body.mentions("iLO") && body.mentions("InvalidOperationForSystemState"))
        || body.has("UnableToModifyDuringSystemPOST")
}

impl fmt::Display for BmcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { bmc, attempt, kind } = &*self.0;
        if !bmc.is_empty() {
            write!(f, "BMC {bmc}: ")?;
        }
        if !attempt.is_empty() {
            write!(f, "{attempt}: ")?;
        }
        kind.fmt(f)
    }
}

impl std::error::Error for BmcError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.kind.source()
    }
}
