//! The roll of nodes: those of the file and those that were discovered, and what each leader is told of Ironic's wishes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

use crate::chain::chain;

use super::config::{BridgeConfig, Node};
use super::discovery::{Find, LedNode, discover};
use super::handle::{Handle, Phase, Registry};
use super::ironic::{IronicError, WaitingNode};
use super::keep::KeepError;
use super::leader::Leader;
use super::shared::{Interest, Shared};

/// How long what Ironic said of its nodes holds. Then each node is asked for by itself: heartbeats and lookups need
/// no password, and go on where the list of nodes is not to be had.
const HOLDS: Duration = Duration::from_secs(30);

/// All nodes that are led.
pub(super) struct Roll {
    shared: Arc<Shared>,
    registry: Arc<Registry>,
    tasks: TaskTracker,
    /// By their keys.
    led: HashMap<String, Led>,
    /// When Ironic last said which nodes wait.
    told: Instant,
    /// Why nodes are not led that could be discovered: the same again is not news.
    remarks: HashMap<Uuid, String>,
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

impl Roll {
    /// An empty one, whose leaders are among `tasks`.
    pub(super) fn new(shared: Arc<Shared>, tasks: TaskTracker) -> Self {
        let (led, remarks) = (HashMap::new(), HashMap::new());
        Self { shared, registry: Arc::default(), tasks, led, told: Instant::now(), remarks }
    }

    pub(super) fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Asks all leaders to end.
    pub(super) fn end(&self) {
        for led in self.led.values() {
            led.end.cancel();
        }
    }

    /// Leads what the file names, and nothing that it does not name any more.
    pub(super) fn take_nodes(&mut self, config: &BridgeConfig) {
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
        let gone = self.led.values().filter(is_gone).map(|led| led.handle.node.key.clone());
        let gone: Vec<_> = gone.collect();
        for key in gone {
            self.drop_node(&key);
        }
        for node in wanted {
            self.add_node(node);
        }
        self.registry.retain(|key| self.led.contains_key(key));
    }

    /// Takes over nodes that an earlier bridge discovered: Ironic may call their agents, and wait for none of them.
    pub(super) fn take_kept(&mut self, config: &BridgeConfig) -> Result<(), KeepError> {
        let keys = if config.discovery.is_some() { self.shared.keep.keys()? } else { Vec::new() };
        let mut taken: HashSet<_> = self.led.values().map(|led| led.handle.node.address).collect();
        for uuid in keys.iter().filter_map(|key| key.parse::<Uuid>().ok()) {
            // One that cannot be read is told of when it is discovered anew.
            let session = self.shared.keep.load(&uuid.to_string()).ok().flatten();
            if let Some(address) = session.and_then(|session| session.address)
                && !self.led.values().any(|led| led.uuid() == Some(uuid))
                && taken.insert(address)
            {
                self.add_node(config.discovered(uuid, address));
            }
        }
        Ok(())
    }

    fn add_node(&mut self, node: Node) {
        if self.led.contains_key(&node.key) {
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
        self.led.insert(key, Led { handle, interest, end });
    }

    fn drop_node(&mut self, key: &str) {
        if let Some(led) = self.led.remove(key) {
            // Who asks for it waits for the handle that takes its place.
            led.handle.leave();
            self.tasks.spawn(async move {
                // Before the lease is free: from then on the session is another leader's.
                led.handle.retire().await;
                led.end.cancel();
            });
        }
    }

    /// Tells the leaders which nodes Ironic waits for; whether it said so.
    pub(super) fn heard(
        &mut self,
        answer: Result<Vec<WaitingNode>, IronicError>,
        config: &BridgeConfig,
    ) -> bool {
        let waiting = match answer {
            Ok(waiting) => waiting,
            Err(error) => {
                let text = chain(&error);
                if config.discovery.is_some() {
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
        if let Some(discovery) = &config.discovery {
            self.take_found(&waiting, &discovery.address_field, config);
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
        for led in self.led.values() {
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

    fn take_found(&mut self, waiting: &[WaitingNode], field: &str, config: &BridgeConfig) {
        let led: Vec<_> = self.led.values().map(Led::describe).collect();
        let mut remarks = HashMap::new();
        let mut found = Vec::new();
        for find in discover(waiting, field, &led) {
            match find {
                Find::Lead { uuid, address, instead } => {
                    for key in instead {
                        self.drop_node(&key);
                    }
                    found.push(config.discovered(uuid, address));
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
        self.registry.retain(|key| self.led.contains_key(key));
    }
}
