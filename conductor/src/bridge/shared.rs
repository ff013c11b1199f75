//! What all leaders share.

use std::path::PathBuf;

use tokio::sync::watch;

use crate::agents::AgentError;
use crate::pki::Pki;

use super::ironic::{Ironic, IronicError};
use super::keep::{Keep, KeepError};
use super::metrics::Metrics;
use super::tokens::Untaken;

pub(super) struct Shared {
    pub(super) ironic: Ironic,
    pub(super) pki: Pki,
    pub(super) keep: Keep,
    pub(super) metrics: Metrics,
    pub(super) untaken: Untaken,
    pub(super) proxy: Option<PublicProxy>,
    pub(super) collectors: Vec<String>,
}

/// The proxy as Ironic sees it.
#[derive(Clone, Debug)]
pub(super) struct PublicProxy {
    /// Without a slash at the end.
    pub(super) url: String,
    /// What Ironic is told to verify it with, PEM.
    pub(super) verify_ca: Option<String>,
}

/// Whether Ironic waits for a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Interest {
    /// Ironic does not tell the bridge: it asks whenever the agent answers.
    Unknown,
    Idle,
    /// In this provision state.
    Waiting(String),
}

impl Interest {
    pub(super) fn is_idle(&self) -> bool {
        *self == Self::Idle
    }

    /// Whether the node may be waiting for its inspection.
    pub(super) fn may_inspect(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Idle => false,
            Self::Waiting(state) => state == "inspect wait",
        }
    }
}

pub(super) type InterestReceiver = watch::Receiver<Interest>;

/// Why a node cannot be led now. The leader tries again.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Ironic(#[from] IronicError),
    #[error("what must survive cannot be written")]
    Keep(#[from] KeepError),
    /// Ironic does not wait for this node, or not yet.
    #[error("Ironic does not wait for it now")]
    NotNow,
    /// Or it knows the node by none of the machine's network interfaces: from its answer they cannot be told apart.
    #[error(
        "Ironic waits for no node with a port of this machine ({0}); of a node without ports, the configuration must \
         say macs or system_uuid"
    )]
    UnknownMachine(String),
    #[error("Ironic has told its token to somebody else; it makes a new one when it restarts the machine")]
    TokenTold,
    /// A command would have to wait, or be refused.
    #[error("its agent is not ready: {0}")]
    NotReady(&'static str),
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    /// Part of everyday life, not to be told at each node.
    pub(super) fn is_usual(&self) -> bool {
        match self {
            Self::NotNow => true,
            Self::Agent(AgentError::Unreachable { .. }) => true,
            Self::Ironic(error) => error.status() == Some(409),
            _ => false,
        }
    }
}

/// Why the bridge cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    #[error(transparent)]
    Config(#[from] super::config::ConfigError),
    #[error(transparent)]
    Ironic(#[from] IronicError),
    #[error(transparent)]
    Keep(#[from] KeepError),
    #[error(transparent)]
    Pki(#[from] crate::pki::PkiError),
    #[error("cannot listen on {address}")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: cannot be used for TLS")]
    Tls {
        path: PathBuf,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("proxy.public_url {0} is no http or https URL")]
    PublicUrl(String),
}
