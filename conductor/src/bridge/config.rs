//! The configuration file: which Ironic, which nodes, and how they are led together.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tacit_protocol::AGENT_PORT;
use uuid::Uuid;

/// The whole file (TOML). Every key is described in `docs/bridge.md`; one that is not known is an error.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BridgeConfig {
    /// Tokens, the bridge's authority, leases.
    pub state_dir: PathBuf,
    pub ironic: IronicConfig,
    pub proxy: Option<ProxyConfig>,
    /// Where health and metrics are served.
    pub status_listen: Option<SocketAddr>,
    #[serde(default)]
    pub defaults: Defaults,
    pub discovery: Option<Discovery>,
    #[serde(default, rename = "node")]
    pub nodes: Vec<NodeEntry>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IronicConfig {
    /// `http://192.0.2.1:6385`, without `/v1`.
    pub url: String,
    /// Authorities for https in place of those of the system.
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub auth: AuthConfig,
}

/// How Ironic knows the bridge. Lookup and heartbeat need none; states and discovery do.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthConfig {
    #[default]
    None,
    HttpBasic {
        username: String,
        password_file: PathBuf,
    },
    /// Keystone v3, by password.
    Keystone {
        auth_url: String,
        username: String,
        password_file: PathBuf,
        project: String,
        #[serde(default = "default_domain")]
        user_domain: String,
        #[serde(default = "default_domain")]
        project_domain: String,
    },
}

fn default_domain() -> String {
    "Default".to_owned()
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyConfig {
    pub listen: SocketAddr,
    /// As Ironic reaches it: `https://bridge.example:6390`.
    pub public_url: String,
    /// Certificate chain and key, PEM, that Ironic trusts by its own configuration. Without them the bridge makes a
    /// certificate and tells Ironic its authority in each heartbeat.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// What holds for nodes that say nothing else.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defaults {
    pub mode: Mode,
    pub inspection: bool,
    pub inspection_collectors: Vec<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self { mode: Mode::Relay, inspection: true, inspection_collectors: Vec::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Ironic speaks to the agent itself.
    Relay,
    /// Ironic speaks to the bridge, and images travel over lent connections.
    Proxy,
}

/// Nodes of Ironic that are not in the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discovery {
    /// Where a node says how its agent is reached: `driver_info/agent_address`, `extra/agent_address`, …
    #[serde(default = "address_field")]
    pub address_field: String,
}

fn address_field() -> String {
    "driver_info/agent_address".to_owned()
}

/// One node of the file.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeEntry {
    pub uuid: Option<Uuid>,
    #[serde(default)]
    pub macs: Vec<String>,
    /// `192.0.2.10`, `192.0.2.10:9999`, `2001:db8::10`, `[2001:db8::10]:9999`.
    pub address: String,
    pub mode: Option<Mode>,
    pub inspection: Option<bool>,
    /// SMBIOS UUID of the machine.
    pub system_uuid: Option<String>,
    /// The only certificate that is believed there, PEM; without it, the first of each boot is.
    pub certificate: Option<PathBuf>,
}

/// A node as the bridge works with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Names it in logs and files: its UUID, or else its first MAC.
    pub key: String,
    pub uuid: Option<Uuid>,
    /// Lower case, colons.
    pub macs: Vec<String>,
    pub address: SocketAddr,
    pub mode: Mode,
    pub inspection: bool,
    pub system_uuid: Option<String>,
    /// PEM.
    pub certificate: Option<String>,
    /// Not in the file: nobody but Ironic's database says where it is.
    pub discovered: bool,
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: cannot be read")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path}: is not a configuration")]
    Toml {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    #[error("node {node}: {reason}")]
    Node { node: String, reason: String },
    #[error("{0}")]
    Whole(String),
}

impl BridgeConfig {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// When it cannot be read, holds an unknown key, or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        let parsed: Self = toml::from_str(&text)
            .map_err(|source| ConfigError::Toml { path: path.to_owned(), source: source.into() })?;
        parsed.nodes()?;
        if let Some(proxy) = &parsed.proxy
            && proxy.certificate.is_some() != proxy.key.is_some()
        {
            return Err(ConfigError::Whole("proxy: certificate and key go together".to_owned()));
        }
        if parsed.defaults.mode == Mode::Proxy && parsed.proxy.is_none() {
            return Err(ConfigError::Whole("defaults.mode = \"proxy\" needs [proxy]".to_owned()));
        }
        Ok(parsed)
    }

    /// The nodes of the file.
    pub(super) fn nodes(&self) -> Result<Vec<Node>, ConfigError> {
        let mut nodes = Vec::with_capacity(self.nodes.len());
        let mut seen = std::collections::HashSet::new();
        for entry in &self.nodes {
            let node = self.node(entry)?;
            for name in [node.key.clone(), node.address.to_string()] {
                if !seen.insert(name.clone()) {
                    let reason = format!("{name} is another node's already");
                    return Err(ConfigError::Node { node: node.key, reason });
                }
            }
            nodes.push(node);
        }
        Ok(nodes)
    }

    fn node(&self, entry: &NodeEntry) -> Result<Node, ConfigError> {
        let macs: Vec<String> =
            entry.macs.iter().map(|mac| mac.trim().to_ascii_lowercase().replace('-', ":")).collect();
        let key = match (&entry.uuid, macs.first()) {
            (Some(uuid), _) => uuid.to_string(),
            (None, Some(mac)) => mac.replace(':', "-"),
            (None, None) => {
                let reason = "has neither uuid nor macs".to_owned();
                return Err(ConfigError::Node { node: entry.address.clone(), reason });
            }
        };
        let fail = |reason: String| ConfigError::Node { node: key.clone(), reason };
        if let Some(wrong) = macs.iter().find(|mac| !is_mac(mac)) {
            return Err(fail(format!("{wrong} is no MAC address")));
        }
        let address = parse_address(&entry.address)
            .ok_or_else(|| fail(format!("{} is no IP address, with or without a port", entry.address)))?;
        let mode = entry.mode.unwrap_or(self.defaults.mode);
        if mode == Mode::Proxy && self.proxy.is_none() {
            return Err(fail("mode = \"proxy\" needs [proxy]".to_owned()));
        }
        Ok(Node {
            uuid: entry.uuid,
            address,
            mode,
            inspection: entry.inspection.unwrap_or(self.defaults.inspection),
            system_uuid: entry.system_uuid.clone(),
            certificate: entry.certificate.as_deref().map(read).transpose()?,
            discovered: false,
            macs,
            key,
        })
    }

    /// A node of Ironic that is not in the file.
    pub(super) fn discovered(&self, uuid: Uuid, address: SocketAddr) -> Node {
        Node {
            key: uuid.to_string(),
            uuid: Some(uuid),
            macs: Vec::new(),
            address,
            mode: self.defaults.mode,
            inspection: self.defaults.inspection,
            system_uuid: None,
            certificate: None,
            discovered: true,
        }
    }
}

/// An address with or without a port; names are refused, as they would need a resolver that can lie.
pub(super) fn parse_address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    let plain = || {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        inner.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, AGENT_PORT))
    };
    text.parse().ok().or_else(plain)
}

pub(super) fn is_mac(text: &str) -> bool {
    let mut groups = 0;
    let all = text.split(':').all(|group| {
        groups += 1;
        group.len() == 2 && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    all && groups == 6
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<BridgeConfig, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("bridge.toml");
        std::fs::write(&path, text).unwrap();
        BridgeConfig::read(&path).map_err(|error| match error {
            ConfigError::Toml { source, .. } => source.to_string(),
            other => other.to_string(),
        })
    }

    const HEAD: &str = "state_dir = '/s'\n[ironic]\nurl = 'http://127.0.0.1:6385'\n";

    #[test]
    fn nodes_are_named_by_uuid_or_mac() {
        let text = format!(
            "{HEAD}[proxy]\nlisten = '127.0.0.1:1'\npublic_url = 'https://b'\n\
             [[node]]\nuuid = '1be26c0b-03f2-4d2e-ae87-c02d7f33c123'\naddress = '192.0.2.10'\nmode = 'proxy'\n\
             [[node]]\nmacs = ['52-54-00-AA-00-01']\naddress = '[2001:db8::1]:9998'\n"
        );
        let nodes = parse(&text).unwrap().nodes().unwrap();
        assert_eq!(nodes[0].key, "1be26c0b-03f2-4d2e-ae87-c02d7f33c123");
        assert_eq!((nodes[0].address.to_string().as_str(), nodes[0].mode), ("192.0.2.10:9999", Mode::Proxy));
        assert_eq!(
            (nodes[1].key.as_str(), nodes[1].macs[0].as_str()),
            ("52-54-00-aa-00-01", "52:54:00:aa:00:01")
        );
        assert_eq!((nodes[1].address.port(), nodes[1].mode), (9998, Mode::Relay));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, word) in [
            ("[[node]]\naddress = '192.0.2.1'\n", "neither uuid nor macs"),
            ("[[node]]\nmacs = ['nonsense']\naddress = '192.0.2.1'\n", "no MAC"),
            ("[[node]]\nmacs = ['52:54:00:aa:00:01']\naddress = 'node.example'\n", "no IP address"),
            (
                "[[node]]\nmacs = ['52:54:00:aa:00:01']\naddress = '192.0.2.1'\nmode = 'proxy'\n",
                "needs [proxy]",
            ),
            ("[[node]]\nmacs = ['52:54:00:aa:00:01']\naddress = '192.0.2.1'\nport = 1\n", "unknown field"),
            ("[defaults]\nmode = 'proxy'\n", "needs [proxy]"),
            (
                "[[node]]\nmacs = ['52:54:00:aa:00:01']\naddress = '192.0.2.1'\n\
                 [[node]]\nmacs = ['52:54:00:aa:00:02']\naddress = '192.0.2.1:9999'\n",
                "another node's",
            ),
        ] {
            let error = parse(&format!("{HEAD}{text}")).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn the_example_of_the_documentation_is_a_configuration() {
        let page = include_str!("../../../docs/bridge.md");
        let example = page.split("```toml\n").nth(1).unwrap().split("```").next().unwrap();
        let parsed = parse(example).unwrap();
        assert!(!parsed.nodes().unwrap().is_empty());
    }
}
