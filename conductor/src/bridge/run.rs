//! The bridge as a whole: its nodes, which of them Ironic waits for, and its listeners.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Backoff;
use crate::chain::chain;
use crate::pki::Pki;

use super::config::{BridgeConfig, Node, parse_address};
use super::handle::{Handle, Registry};
use super::ironic::{Ironic, WaitingNode};
use super::keep::Keep;
use super::leader::Leader;
use super::shared::{BridgeError, Interest, Shared};
use super::{proxy, serve, status};

/// Between two looks at which nodes Ironic waits for.
const LOOK: Duration = Duration::from_secs(3);
/// The same while Ironic does not tell; it grows to the second.
const LOOK_REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// A bridge that listens and is ready to lead.
pub struct Bridge {
    path: PathBuf,
    config: BridgeConfig,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    leaders: HashMap<String, Led>,
    tasks: TaskTracker,
    end: CancellationToken,
    addresses: Addresses,
}

/// Where the bridge listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    pub proxy: Option<SocketAddr>,
    pub status: Option<SocketAddr>,
}

/// A node that is led.
struct Led {
    handle: Arc<Handle>,
    discovered: bool,
    interest: watch::Sender<Interest>,
    end: CancellationToken,
}

impl Bridge {
    /// Reads the configuration, opens what is kept, and listens.
    ///
    /// # Errors
    /// When any of it cannot be used.
    pub async fn start(path: &Path) -> Result<Self, BridgeError> {
        let config = BridgeConfig::read(path)?;
        let pki = Pki::open_or_create(&config.state_dir.join("pki"))?;
        let keep = Keep::open(&config.state_dir)?;
        let mut addresses = Addresses::default();
        let proxy = config.proxy.as_ref().map(|proxy| serve::public(proxy, &pki)).transpose()?;
        let (public, tls) = proxy.map_or((None, None), |(public, tls)| (Some(public), tls));
        let shared = Arc::new(Shared {
            ironic: Ironic::new(&config.ironic)?,
            pki,
            keep,
            metrics: super::metrics::Metrics::default(),
            proxy: public,
            collectors: config.defaults.inspection_collectors.clone(),
        });
        let registry = Arc::new(Registry::default());
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        if let Some(proxy) = &config.proxy {
            let listener = serve::bind(proxy.listen).await?;
            addresses.proxy = listener.local_addr().ok();
            let state = proxy::ProxyState { shared: Arc::clone(&shared), registry: Arc::clone(&registry) };
            tasks.spawn(serve::serve(listener, tls, proxy::router(state), end.clone()));
        }
        if let Some(address) = config.status_listen {
            let listener = serve::bind(address).await?;
            addresses.status = listener.local_addr().ok();
            let state = status::StatusState { shared: Arc::clone(&shared), registry: Arc::clone(&registry) };
            tasks.spawn(serve::serve(listener, None, status::router(state), end.clone()));
        }
        let leaders = HashMap::new();
        let path = path.to_owned();
        Ok(Self { path, config, shared, registry, leaders, tasks, end, addresses })
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Leads the nodes until `stop` is done; reads the list of nodes again with each message of `reload`.
    pub async fn run(mut self, stop: impl Future<Output = ()>, mut reload: mpsc::Receiver<()>) {
        self.take_nodes(&self.config.clone());
        let mut pauses = Backoff::new(LOOK_REFUSED.0, LOOK_REFUSED.1);
        let mut next = tokio::time::Instant::now();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(()) = reload.recv() => self.reload(),
                () = tokio::time::sleep_until(next) => {
                    let told = self.look().await;
                    if told { pauses.reset(); }
                    let pause = if told { Backoff::new(LOOK, LOOK).delay() } else { pauses.delay() };
                    next = tokio::time::Instant::now() + pause;
                }
            }
        }
        self.end.cancel();
        for led in self.leaders.values() {
            led.end.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes over changes in the list of nodes. Everything else needs a new process.
    fn reload(&mut self) {
        match BridgeConfig::read(&self.path) {
            Ok(config) => {
                self.take_nodes(&config);
                let before = BridgeConfig { nodes: config.nodes.clone(), ..self.config.clone() };
                if before != config {
                    tracing::warn!("only changes of nodes were taken over; the rest needs a restart");
                }
                self.config.nodes = config.nodes;
            }
            Err(error) => tracing::error!("the configuration stays as it was: {}", chain(&error)),
        }
    }

    fn take_nodes(&mut self, config: &BridgeConfig) {
        let wanted = match config.nodes() {
            Ok(wanted) => wanted,
            Err(error) => return tracing::error!("the nodes stay as they were: {}", chain(&error)),
        };
        let gone: Vec<_> = self
            .leaders
            .values()
            .filter(|led| !led.discovered && !wanted.contains(&led.handle.node))
            .map(|led| led.handle.node.key.clone())
            .collect();
        for key in gone {
            self.drop_node(&key);
        }
        for node in wanted {
            self.add_node(node, false);
        }
    }

    fn add_node(&mut self, node: Node, discovered: bool) {
        if self.leaders.contains_key(&node.key) {
            return;
        }
        let key = node.key.clone();
        let handle = Arc::new(Handle::new(node, self.shared.keep.clone()));
        self.registry.add(Arc::clone(&handle));
        let (interest, told) = watch::channel(Interest::Unknown);
        let end = CancellationToken::new();
        let leader = Leader::new(Arc::clone(&self.shared), Arc::clone(&handle), told);
        self.tasks.spawn(leader.lead(end.clone()));
        self.leaders.insert(key, Led { handle, discovered, interest, end });
    }

    fn drop_node(&mut self, key: &str) {
        if let Some(led) = self.leaders.remove(key) {
            led.end.cancel();
            self.registry.remove(key);
        }
    }

    /// Asks Ironic which nodes wait, and tells their leaders; whether Ironic said it.
    async fn look(&mut self) -> bool {
        let field = self.config.discovery.as_ref().map(|discovery| discovery.address_field.clone());
        let waiting = match self.shared.ironic.waiting(field.as_deref()).await {
            Ok(waiting) => waiting,
            Err(error) => {
                let text = chain(&error);
                if field.is_some() {
                    tracing::warn!("no nodes are discovered: {text}");
                } else {
                    tracing::debug!("Ironic does not say which nodes wait: {text}");
                }
                // Not to be taken for "none": what is wanted is asked node by node.
                if matches!(error.status(), Some(401 | 403 | 404 | 406)) {
                    self.tell(|_| Interest::Unknown);
                }
                return false;
            }
        };
        if let Some(field) = field {
            self.discover(&waiting, &field);
        }
        let states: HashMap<String, String> =
            waiting.into_iter().map(|node| (node.uuid.to_string(), node.state)).collect();
        self.tell(|led| {
            let uuid = led.handle.node.uuid.or_else(|| led.handle.with_session(|session| session.node));
            match uuid {
                // Named by MAC, and not yet looked up.
                None => Interest::Unknown,
                Some(uuid) => states
                    .get(&uuid.to_string())
                    .map_or(Interest::Idle, |state| Interest::Waiting(state.clone())),
            }
        });
        true
    }

    fn tell(&self, interest: impl Fn(&Led) -> Interest) {
        for led in self.leaders.values() {
            let news = interest(led);
            led.interest.send_if_modified(|known| {
                let changed = *known != news;
                if changed {
                    *known = news;
                }
                changed
            });
        }
    }

    fn discover(&mut self, waiting: &[WaitingNode], field: &str) {
        for found in waiting {
            let key = found.uuid.to_string();
            let Some(text) = &found.address else { continue };
            let Some(address) = parse_address(text) else {
                tracing::warn!(node = key, "{field} is no IP address, with or without a port: {text:?}");
                continue;
            };
            let node = self.config.discovered(found.uuid, address);
            match self.leaders.get(&key) {
                // Moved: its agent is sought at the new address.
                Some(led) if led.discovered && led.handle.node.address != address => self.drop_node(&key),
                Some(_) => continue,
                None => {}
            }
            self.add_node(node, true);
        }
    }
}
