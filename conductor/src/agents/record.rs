//! One boot of a node, as the conductor remembers it.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What was made for one boot of one node. A conductor that restarts finds the running agent again with it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootRecord {
    pub node: Uuid,
    /// Names this attempt in logs and history.
    pub attempt: String,
    /// Where the agent will answer.
    pub address: SocketAddr,
    /// The certificate delivered to the node, PEM: the only one that is believed at `address`.
    pub certificate_pem: String,
    /// Its key, PKCS#8 PEM: needed to serve the same medium again after a restart.
    pub private_key_pem: String,
    /// Path of the node's medium.
    pub media_token: String,
    /// Unix time in seconds.
    pub made_at: i64,
}

impl fmt::Debug for BootRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BootRecord")
            .field("node", &self.node)
            .field("attempt", &self.attempt)
            .field("address", &self.address)
            .field("made_at", &self.made_at)
            .finish_non_exhaustive()
    }
}
