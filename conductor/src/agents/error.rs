//! What can go wrong between the conductor and an agent.

use std::io;
use std::net::SocketAddr;

use crate::media::BoxError;
use crate::pki::PkiError;

#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Nothing answers, or the connection broke. Normal while a node boots.
    #[error("agent at {address} does not answer")]
    Unreachable {
        address: SocketAddr,
        #[source]
        source: BoxError,
    },
    /// Something answers that is not the expected machine in the expected boot. Nothing was sent to it, except where
    /// it had shown the right certificate and then contradicted the node's record.
    #[error("the machine{} is not the expected one: {detail}", at(*.address))]
    WrongMachine { address: Option<SocketAddr>, detail: String },
    /// The agent does not take this conductor for its own.
    #[error("agent at {address} does not accept this conductor's certificate")]
    CallerRefused {
        address: SocketAddr,
        #[source]
        source: BoxError,
    },
    /// The agent understood and said no.
    #[error("agent at {address} answers {status}: {fault}")]
    Refused { address: SocketAddr, status: u16, fault: String },
    #[error("agent at {address} breaks the protocol: {detail}")]
    Protocol { address: SocketAddr, detail: String },
    /// The operation is gone with the boot in which it ran.
    #[error("agent at {address} restarted and operation {operation} was lost: {detail}")]
    AgentRestarted { address: SocketAddr, operation: String, detail: String },
    #[error("no connection to the agent can be prepared")]
    Pki(#[from] PkiError),
    /// IPA does not take the token for its own.
    #[error("IPA at {address} does not accept driver_info.agent_token")]
    TokenRefused { address: SocketAddr },
    /// What became of a command that IPA was sent.
    #[error("whether IPA at {address} carried out {operation} cannot be known: {detail}")]
    Unknowable { address: SocketAddr, operation: String, detail: String },
    /// Not sent: it could not be found again.
    #[error("a command for IPA cannot be written down")]
    Unrecorded(#[source] BoxError),
}

fn at(address: Option<SocketAddr>) -> String {
    address.map(|address| format!(" at {address}")).unwrap_or_default()
}

impl AgentError {
    /// Whether the same request may succeed later without anyone doing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            Self::WrongMachine { .. }
            | Self::CallerRefused { .. }
            | Self::Protocol { .. }
            | Self::AgentRestarted { .. }
            | Self::Pki(_)
            | Self::TokenRefused { .. }
            | Self::Unknowable { .. }
            | Self::Unrecorded(_) => false,
        }
    }

    pub(super) fn timeout(address: SocketAddr, what: &str) -> Self {
        let source = io::Error::new(io::ErrorKind::TimedOut, format!("no {what} in time"));
        Self::Unreachable { address, source: source.into() }
    }

    /// Finds out what a failed connection means. TLS speaks through several layers of other errors.
    pub(super) fn connection(address: SocketAddr, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        let Some(error) = tls_error(&*source) else {
            return Self::Unreachable { address, source };
        };
        match error {
            rustls::Error::AlertReceived(_) => Self::CallerRefused { address, source },
            rustls::Error::InvalidCertificate(rustls::CertificateError::Other(reason)) => {
                Self::WrongMachine { address: Some(address), detail: reason.0.to_string() }
            }
            other => Self::WrongMachine { address: Some(address), detail: other.to_string() },
        }
    }
}

fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An io::Error shows the source of what it wraps, not what it wraps.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
