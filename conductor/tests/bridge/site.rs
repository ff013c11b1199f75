//! One site: a played Ironic, a bridge, and a machine with an agent.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tacit_ports::free_address;
use tempfile::TempDir;

use crate::agent::Agent;
use crate::ironic::Ironic;
use crate::process::{Process, tacit};

pub(crate) const NODE: &str = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";

/// Nothing here takes longer, on however slow a machine.
const LONGEST: Duration = Duration::from_secs(90);

pub(crate) async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < LONGEST, "{what} did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mode {
    Relay,
    Proxy,
}

pub(crate) struct Site {
    pub(crate) directory: TempDir,
    pub(crate) ironic: Ironic,
    pub(crate) agent: Option<Agent>,
    pub(crate) bridge: Process,
    pub(crate) status: SocketAddr,
    pub(crate) proxy: SocketAddr,
    pub(crate) config: PathBuf,
}

/// Where the machine is.
pub(crate) fn configuration(
    path: &Path,
    state_dir: &Path,
    ironic: SocketAddr,
    (proxy, status, agent): (SocketAddr, SocketAddr, SocketAddr),
    mode: Mode,
) {
    let mode = if mode == Mode::Relay { "relay" } else { "proxy" };
    let text = format!(
        "state_dir = {state_dir:?}\nstatus_listen = '{status}'\n[ironic]\nurl = 'http://{ironic}'\n\
         [proxy]\nlisten = '{proxy}'\npublic_url = 'https://{proxy}'\n\
         [defaults]\nmode = '{mode}'\n[[node]]\nuuid = '{NODE}'\naddress = '{agent}'\n"
    );
    std::fs::write(path, text).unwrap();
}

impl Site {
    /// A machine in `state` whose agent knows `token`, as from its boot medium.
    pub(crate) async fn start(mode: Mode, state: &str, token: Option<&str>) -> Self {
        let site = Self::without_agent(mode, state).await;
        let agent =
            Agent::start(site.agent_address(), &site.directory.path().join("agent"), &site.ca(), token);
        if let Some(token) = token {
            site.ironic.look(|node| (node.token, node.told) = (Some(token.to_owned()), true));
        }
        Self { agent: Some(agent), ..site }
    }

    /// The same, with nobody at its address.
    pub(crate) async fn without_agent(mode: Mode, state: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ironic = Ironic::start(state).await;
        let (proxy, status, agent) = (free_address(), free_address(), free_address());
        let config = directory.path().join("bridge.toml");
        let addresses = (proxy, status, agent);
        configuration(&config, &directory.path().join("state"), ironic.address, addresses, mode);
        std::fs::write(directory.path().join("address"), agent.to_string()).unwrap();
        let kept = directory.path().join(format!("state/nodes/{NODE}.json"));
        ironic.look(|node| node.kept = Some(kept));
        let bridge = bridge(&config);
        until("the bridge", || std::net::TcpStream::connect(status).is_ok()).await;
        Self { directory, ironic, agent: None, bridge, status, proxy, config }
    }

    pub(crate) fn agent_address(&self) -> SocketAddr {
        std::fs::read_to_string(self.directory.path().join("address")).unwrap().parse().unwrap()
    }

    /// What the bridge keeps of the node; null where that is nothing.
    pub(crate) fn session(&self) -> Value {
        let path = self.ironic.look(|node| node.kept.clone()).unwrap();
        std::fs::read(path).map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap())
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.directory.path().join("state/pki/ca.crt")
    }

    pub(crate) fn agent(&mut self) -> &mut Agent {
        self.agent.as_mut().unwrap()
    }

    /// SIGKILL, and another one.
    pub(crate) fn restart_bridge(&mut self) {
        self.bridge.kill();
        self.bridge = bridge(&self.config);
    }

    pub(crate) async fn metrics(&self) -> String {
        reqwest::get(format!("http://{}/metrics", self.status)).await.unwrap().text().await.unwrap()
    }

    /// A line of the metrics page, without its prefix.
    pub(crate) async fn counts(&self, line: &str) -> bool {
        self.metrics().await.lines().any(|found| found.strip_prefix("tacit_bridge_") == Some(line))
    }

    pub(crate) async fn until_counted(&self, name: &str) {
        let begun = Instant::now();
        while !self.metrics().await.contains(name) {
            assert!(begun.elapsed() < LONGEST, "{name} is not in\n{}", self.metrics().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub(crate) fn bridge(config: &Path) -> Process {
    Process::start(Command::new(tacit()).arg("bridge").arg("--config").arg(config))
}
