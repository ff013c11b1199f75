//! What must survive the bridge: one node's dealings between Ironic's giving of a token and its taking it back.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::config::Mode;

/// One token's life. Written to disk before anything is done that relies on it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Session {
    pub(super) node: Uuid,
    /// Ironic's token for this boot, which no lookup tells twice.
    pub(super) token: String,
    pub(super) origin: Origin,
    pub(super) mode: Mode,
    /// Where its agent is.
    pub(super) address: Option<SocketAddr>,
    pub(super) heartbeat_timeout_seconds: u64,
    /// Write-once in Ironic until it takes the token back; so kept, whatever the configuration says meanwhile.
    pub(super) callback_url: String,
    pub(super) verify_ca: Option<String>,
    pub(super) life: Life,
    /// The newest command that Ironic gave, as far as the bridge knows.
    pub(super) last: Option<Known>,
    /// An operation that was lost with the agent that ran it.
    pub(super) broken: Option<Broken>,
    /// What the running command may fetch over lent connections.
    pub(super) images: Vec<LentImage>,
    /// Which kind of steps Ironic asked for last: `clean`, `deploy` or `service`.
    pub(super) kind: Option<String>,
    /// Ironic may have had a heartbeat, and the agent commands since.
    pub(super) announced: bool,
    /// Ironic has taken the token.
    #[serde(default)]
    pub(super) accepted: bool,
    /// What holds again if Ironic does not take the token.
    pub(super) former: Option<Box<Session>>,
    /// Ironic was offered an inspection, or waits for none.
    pub(super) inspected: bool,
}

/// Who told the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Origin {
    /// Ironic, to the bridge. It makes another one whenever it restarts the machine.
    Lookup,
    /// Ironic, to the boot medium, and the agent to the bridge. Ironic keeps it when it restarts the machine.
    Medium,
}

/// One life of an agent process, in one boot of one machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Life {
    pub(super) boot_id: String,
    /// Unix time in seconds.
    pub(super) started_at: f64,
    /// The only one that is believed during this life, PEM.
    pub(super) certificate: String,
}

impl Life {
    /// Whether an agent that says this lives it. The same start is the same within a millisecond: on its way through a
    /// file the last digit may change, and no process starts twice in so short a time.
    pub(super) fn is_of(&self, boot_id: &str, started_at: f64) -> bool {
        self.boot_id == boot_id && (self.started_at - started_at).abs() < 0.001
    }
}

impl PartialEq for Life {
    fn eq(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.is_of(&other.boot_id, other.started_at)
    }
}

/// A command as the bridge last saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// Empty while the agent was not heard since the command was passed on.
    pub(super) id: String,
    /// Without extension.
    pub(super) name: String,
    pub(super) finished: bool,
    #[serde(default)]
    pub(super) succeeded: bool,
    /// Ironic had a heartbeat since the end was seen.
    pub(super) reported: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Broken {
    /// Shown to Ironic as the id of the lost command.
    pub(super) id: String,
    pub(super) why: String,
    /// Whether a heartbeat makes Ironic see it. Without one, it does when it has waited long enough.
    pub(super) tell: bool,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LentImage {
    pub(super) url: String,
    pub(super) authorization: Option<String>,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("node", &self.node)
            .field("origin", &self.origin)
            .field("last", &self.last)
            .field("broken", &self.broken)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::bridge) fn session() -> Session {
        Session {
            node: Uuid::from_u128(7),
            token: "t".repeat(43),
            origin: Origin::Lookup,
            mode: Mode::Proxy,
            address: None,
            heartbeat_timeout_seconds: 300,
            callback_url: "https://bridge/agents/7".to_owned(),
            verify_ca: None,
            life: Life { boot_id: "b".to_owned(), started_at: 1.0, certificate: String::new() },
            last: None,
            broken: None,
            images: Vec::new(),
            kind: None,
            announced: true,
            accepted: true,
            former: None,
            inspected: true,
        }
    }

    #[test]
    fn a_life_is_the_same_after_a_time_on_disk_and_another_one_is_not() {
        let life = |started_at| Life { started_at, ..session().life };
        for step in 0..20_000_u32 {
            let one = life(1_763_745_684.0 + f64::from(step) * 0.000_123_457);
            let read: Life = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
            assert!(read == one, "{} became {}", one.started_at, read.started_at);
        }
        assert!(life(1_763_745_684.0) != life(1_763_745_684.01));
        let another = Life { boot_id: "another".to_owned(), ..life(1.0) };
        assert!(another != life(1.0));
    }

    #[test]
    fn logs_show_no_token() {
        let text = format!("{:?}", session());
        assert!(!text.contains("tttt"), "{text}");
    }
}
