//! The bridge as a whole: its nodes, which of them Ironic waits for, and its listeners.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::agents::Backoff;
use crate::chain::chain;
use crate::pki::Pki;

use super::config::{BridgeConfig, Node};
use super::discovery::{Find, LedNode, discover};
use super::handle::{Handle, Phase, Registry};
use super::ironic::{Ironic, IronicError, WaitingNode};
use super::keep::{Keep, KeepError};
use super::leader::Leader;
use super::shared::{BridgeError, Interest, Shared};
use super::{proxy, serve, status};

/// Between two looks at which nodes Ironic waits for.
const LOOK: Duration = Duration::from_secs(3);
/// The same while Ironic does not tell; it grows to the second.
const LOOK_REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// How long what Ironic said of its nodes holds. Then each node is asked for by itself: heartbeats and lookups need
/// no password, and go on where the list of nodes is not to be had.
const HOLDS: Duration = Duration::from_secs(30);

/// A bridge that listens and is ready to lead.
pub struct Bridge {
    path: PathBuf,
    config: BridgeConfig,
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    leaders: HashMap<String, Led>,
    /// When Ironic last said which nodes wait.
    told: Instant,
    /// Why nodes are not led that could be discovered: the same again is not news.
    remarks: HashMap<Uuid, String>,
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
    interest: watch::Sender<Interest>,
    end: CancellationToken,
}

impl Led {
    fn uuid(&self) -> Option<Uuid> {
        self.handle.node.uuid.or_else(|| self.handle.with_session(|session| session.node))
    }

    fn describe(&self) -> LedNode {
        LedNode {
            key: self.handle.node.key.clone(),
            uuid: self.uuid(),
            address: self.handle.node.address,
            discovered: self.handle.node.discovered,
            busy: matches!(self.handle.phase(), Phase::Driving | Phase::Failing),
        }
    }
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
        let proxy = config.proxy.as_ref().map(|proxy| serve::public(proxy, Some(&pki))).transpose()?;
        let (public, tls) = proxy.map_or((None, None), |(public, tls)| (Some(public), tls));
        let shared = Arc::new(Shared {
            ironic: Ironic::new(&config.ironic)?,
            pki,
            keep,
            metrics: super::metrics::Metrics::default(),
            proxy: public,
            collectors: config.defaults.inspection_collectors.clone(),
        });
        let mut bridge = Self {
            path: path.to_owned(),
            config,
            shared,
            registry: Arc::default(),
            leaders: HashMap::new(),
            told: Instant::now(),
            remarks: HashMap::new(),
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            addresses: Addresses::default(),
        };
        bridge.listen(tls).await?;
        Ok(bridge)
    }

    /// Opens what [`Self::start`] opens, and makes nothing: what does not exist yet is made at the start. An address
    /// that is in use is no error, as a bridge may be running.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn check(path: &Path) -> Result<(), BridgeError> {
        let config = BridgeConfig::read(path)?;
        Ironic::new(&config.ironic)?;
        let authority = config.state_dir.join("pki");
        let made = authority.join("conductor.crt").exists();
        let pki = made.then(|| Pki::open_or_create(&authority)).transpose()?;
        Keep::check(&config.state_dir)?;
        if let Some(proxy) = &config.proxy {
            serve::public(proxy, pki.as_ref())?;
        }
        for address in config.proxy.iter().map(|proxy| proxy.listen).chain(config.status_listen) {
            match serve::bind(address).await {
                Err(BridgeError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {}
                bound => drop(bound?),
            }
        }
        Ok(())
    }

    /// Ironic's calls wait in the listener until what was promised to it is known again.
    async fn listen(&mut self, tls: Option<Arc<rustls::ServerConfig>>) -> Result<(), BridgeError> {
        let proxy = match &self.config.proxy {
            Some(proxy) => Some(serve::bind(proxy.listen).await?),
            None => None,
        };
        let status = match self.config.status_listen {
            Some(address) => Some(serve::bind(address).await?),
            None => None,
        };
        self.take_nodes(&self.config.clone());
        self.take_kept()?;
        let (shared, registry) = (&self.shared, &self.registry);
        if let Some(listener) = proxy {
            self.addresses.proxy = listener.local_addr().ok();
            let state = proxy::ProxyState { shared: Arc::clone(shared), registry: Arc::clone(registry) };
            self.tasks.spawn(serve::serve(listener, tls, proxy::router(state), self.end.clone()));
        }
        if let Some(listener) = status {
            self.addresses.status = listener.local_addr().ok();
            let state = status::StatusState { shared: Arc::clone(shared), registry: Arc::clone(registry) };
            self.tasks.spawn(serve::serve(listener, None, status::router(state), self.end.clone()));
        }
        Ok(())
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Leads the nodes until `stop` is done; reads the list of nodes again with each message of `reload`.
    pub async fn run(mut self, stop: impl Future<Output = ()>, mut reload: mpsc::Receiver<()>) {
        let mut pauses = Backoff::new(LOOK_REFUSED.0, LOOK_REFUSED.1);
        let mut next = Instant::now();
        let field = self.config.discovery.as_ref().map(|discovery| discovery.address_field.clone());
        let shared = Arc::clone(&self.shared);
        tokio::pin!(stop);
        loop {
            let look = async {
                tokio::time::sleep_until(next).await;
                shared.ironic.waiting(field.as_deref()).await
            };
            tokio::select! {
                () = &mut stop => break,
                // A question that this cuts off is asked again.
                Some(()) = reload.recv() => self.reload(),
                answer = look => {
                    let told = self.heard(answer, field.as_deref());
                    if told { pauses.reset(); }
                    let pause = if told { Backoff::new(LOOK, LOOK).delay() } else { pauses.delay() };
                    next = Instant::now() + pause;
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
        let names: HashSet<_> = wanted.iter().map(|node| node.key.as_str()).collect();
        let addresses: HashSet<_> = wanted.iter().map(|node| node.address).collect();
        // What was discovered stays, except where the file knows the node or its address now.
        let is_gone = |led: &&Led| match &led.handle.node {
            node if node.discovered => names.contains(node.key.as_str()) || addresses.contains(&node.address),
            node => !wanted.contains(node),
        };
        let gone = self.leaders.values().filter(is_gone).map(|led| led.handle.node.key.clone());
        let gone: Vec<_> = gone.collect();
        for key in gone {
            self.drop_node(&key);
        }
        for node in wanted {
            self.add_node(node);
        }
    }

    /// Takes over nodes that an earlier bridge discovered: Ironic may call their agents, and wait for none of them.
    fn take_kept(&mut self) -> Result<(), KeepError> {
        let keys = if self.config.discovery.is_some() { self.shared.keep.keys()? } else { Vec::new() };
        let mut taken: HashSet<_> = self.leaders.values().map(|led| led.handle.node.address).collect();
        for uuid in keys.iter().filter_map(|key| key.parse::<Uuid>().ok()) {
            // One that cannot be read is told of when it is discovered anew.
            let session = self.shared.keep.load(&uuid.to_string()).ok().flatten();
            if let Some(address) = session.and_then(|session| session.address)
                && !self.leaders.values().any(|led| led.uuid() == Some(uuid))
                && taken.insert(address)
            {
                self.add_node(self.config.discovered(uuid, address));
            }
        }
        Ok(())
    }

    fn add_node(&mut self, node: Node) {
        if self.leaders.contains_key(&node.key) {
            return;
        }
        let key = node.key.clone();
        let handle = Arc::new(Handle::new(node, self.shared.keep.clone()));
        let (interest, told) = watch::channel(Interest::Unknown);
        let end = CancellationToken::new();
        let mut leader = Leader::new(Arc::clone(&self.shared), Arc::clone(&handle), told);
        leader.claim();
        self.registry.add(Arc::clone(&handle));
        self.tasks.spawn(leader.lead(end.clone()));
        self.leaders.insert(key, Led { handle, interest, end });
    }

    fn drop_node(&mut self, key: &str) {
        if let Some(led) = self.leaders.remove(key) {
            self.registry.remove(key);
            self.tasks.spawn(async move {
                // Before the lease is free: from then on the session is another leader's.
                led.handle.retire().await;
                led.end.cancel();
            });
        }
    }

    /// Tells the leaders which nodes Ironic waits for; whether it said so.
    fn heard(&mut self, answer: Result<Vec<WaitingNode>, IronicError>, field: Option<&str>) -> bool {
        let waiting = match answer {
            Ok(waiting) => waiting,
            Err(error) => {
                let text = chain(&error);
                if field.is_some() {
                    tracing::warn!("no nodes are discovered: {text}");
                } else {
                    tracing::debug!("Ironic does not say which nodes wait: {text}");
                }
                // Not to be taken for "none": what is wanted is asked node by node.
                if self.told.elapsed() > HOLDS || matches!(error.status(), Some(401 | 403 | 404 | 406)) {
                    self.tell(|_| Interest::Unknown);
                }
                return false;
            }
        };
        self.told = Instant::now();
        if let Some(field) = field {
            self.take_found(&waiting, field);
        }
        let states: HashMap<Uuid, String> = waiting.into_iter().map(|node| (node.uuid, node.state)).collect();
        self.tell(|led| match led.uuid() {
            // Named by MAC, and not yet looked up.
            None => Interest::Unknown,
            Some(uuid) => states.get(&uuid).map_or(Interest::Idle, |state| Interest::Waiting(state.clone())),
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

    fn take_found(&mut self, waiting: &[WaitingNode], field: &str) {
        let led: Vec<_> = self.leaders.values().map(Led::describe).collect();
        let mut remarks = HashMap::new();
        let mut found = Vec::new();
        for find in discover(waiting, field, &led) {
            match find {
                Find::Lead { uuid, address, instead } => {
                    for key in instead {
                        self.drop_node(&key);
                    }
                    found.push(self.config.discovered(uuid, address));
                }
                Find::Refused { uuid, why } => {
                    if self.remarks.get(&uuid) != Some(&why) {
                        tracing::warn!(node = %uuid, "not led: {why}");
                    }
                    remarks.insert(uuid, why);
                }
            }
        }
        self.remarks = remarks;
        // Not before all have left that are where others come.
        for node in found {
            self.add_node(node);
        }
    }
}
