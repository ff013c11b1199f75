//! The engine: accepts verbs, runs one flow a node, tells what happens as numbered events.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tacit_image::media::MediaTemplate;
use tacit_protocol::v2::Progress;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::cleaning::CleaningPolicy;
use super::driver::{self};
use super::events::{EventLog, NodeEvent, NodeEventPage};
use super::validate::{self, Validation};
use crate::media::MediaServer;
use crate::node::Node;
use crate::pki::Pki;
use crate::store::{Store, StoreError};

/// Kinds of documents in the store: the flow of a node, the boot that its agent answers for, and the command that IPA
/// was sent last.
pub(super) const FLOW_DOC: &str = "flow";
pub(super) const BOOT_DOC: &str = "boot";
pub(super) const IPA_DOC: &str = "ipa";

/// Settings of the conductor that flows need.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    pub hostname: String,
    /// Directory whose files `file://` images may name.
    pub image_dir: PathBuf,
    /// How long a node's agent may take from power-on to its first answer.
    pub agent_timeout: Duration,
    /// Whether nodes are cleaned that do not say (`automated_clean` null).
    pub automated_clean: bool,
    pub cleaning: CleaningPolicy,
    /// What inspections collect: names as in `ipa-inspection-collectors`.
    pub inspection_collectors: Vec<String>,
}

/// Runs the flows of all nodes of this conductor.
pub struct Engine {
    pub(super) config: EngineConfig,
    pub(super) store: Arc<Store>,
    pub(super) pki: Pki,
    pub(super) media: Arc<MediaServer>,
    pub(super) template: Option<Arc<MediaTemplate>>,
    events: EventLog,
    running: Mutex<HashMap<Uuid, Running>>,
    started: AtomicU64,
    /// Token of the medium that is served for a node: one at most.
    pub(super) published: Mutex<HashMap<Uuid, String>>,
}

struct Running {
    /// Tells this flow from the next one of the same node.
    number: u64,
    cancel: CancellationToken,
    task: JoinHandle<()>,
}

impl Engine {
    /// `template` is the medium that nodes boot; without it nothing that needs an agent can be done.
    pub fn new(
        config: EngineConfig,
        store: Arc<Store>,
        pki: Pki,
        media: Arc<MediaServer>,
        template: Option<Arc<MediaTemplate>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            store,
            pki,
            media,
            template,
            events: EventLog::new(),
            running: Mutex::new(HashMap::new()),
            started: AtomicU64::new(0),
            published: Mutex::new(HashMap::new()),
        })
    }

    /// Takes up what an earlier conductor left: media are served again, flows go on at the step they had begun.
    /// Returns how many flows that are. A record that this program cannot read concerns its own node alone: the flow's
    /// task frees it.
    pub fn resume(self: &Arc<Self>) -> Result<usize, StoreError> {
        let (boots, flows) = self.store.transact(|tx| {
            let flows = tx.docs::<Value>(FLOW_DOC)?;
            for mut node in tx.nodes()? {
                let stale = node.reservation.is_some() || node.target_power_state.is_some();
                if stale && !flows.iter().any(|(id, _)| *id == node.uuid) {
                    node.reservation = None;
                    node.target_power_state = None;
                    tx.save_node(&mut node)?;
                }
            }
            Ok::<_, StoreError>((tx.docs::<Value>(BOOT_DOC)?, flows))
        })?;
        for (id, boot) in boots {
            let Some(node) = self.store.node(id)? else { continue };
            let boot = serde_json::from_value(boot).map_err(|error| error.to_string());
            if let Err(error) = boot.and_then(|boot| self.publish_medium(&node, &boot)) {
                tracing::warn!(node = %id, error, "medium is not served again");
            }
        }
        for (id, flow) in &flows {
            tracing::info!(node = %id, flow = %flow["id"], step = %flow["current"], "flow goes on");
            self.start(*id);
        }
        Ok(flows.len())
    }

    /// Interface kind to result, in the order of Ironic's answer.
    pub fn validate(&self, node: &Node) -> Vec<(&'static str, Validation)> {
        validate::validate(node, &self.config.image_dir, self.template.is_some())
    }

    /// Events of a node with a number above `after`; waits at most `wait` for the first.
    pub async fn events(&self, node: Uuid, after: u64, wait: Duration) -> NodeEventPage {
        self.events.after(node, after, wait).await
    }

    /// Whether a flow or a power action works on the node now.
    pub fn is_locked(&self, node: Uuid) -> bool {
        matches!(self.store.node(node), Ok(Some(node)) if node.reservation.is_some())
    }

    pub(super) fn start(self: &Arc<Self>, id: Uuid) {
        let cancel = CancellationToken::new();
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        // The lock is held over the spawn: a flow that ends at once must find its entry to remove.
        let mut running = self.running.lock().expect("no holder of the lock panics");
        let task = tokio::spawn(driver::drive(self.clone(), id, number, cancel.clone()));
        running.insert(id, Running { number, cancel, task });
    }

    /// Tells the flow of the node, if one runs here, to stop what it does.
    pub(super) fn cancel(&self, id: Uuid) {
        if let Some(running) = self.running.lock().expect("no holder of the lock panics").get(&id) {
            running.cancel.cancel();
        }
    }

    /// The task of a flow is at its end. The node's next flow may have been started meanwhile: its entry stays.
    pub(super) fn released(&self, id: Uuid, number: u64) {
        let mut running = self.running.lock().expect("no holder of the lock panics");
        if running.get(&id).is_some_and(|running| running.number == number) {
            running.remove(&id);
        }
    }

    /// A node was deleted: what is done for it stops, its machine is let go, its medium is served no longer.
    pub fn forget(&self, id: Uuid) {
        self.withdraw_medium(id);
        self.cancel(id);
    }

    /// Waits until no flow of the node runs here any more.
    pub(super) async fn ended(&self, id: Uuid) {
        let running = self.running.lock().expect("no holder of the lock panics").remove(&id);
        if let Some(running) = running
            && let Err(error) = running.task.await
        {
            tracing::error!(node = %id, %error, "flow panicked");
        }
    }

    pub(super) fn tell(&self, node: &Node, kind: &str, step: Option<String>, message: Option<String>) {
        self.events.add(node.uuid, event_of(node, kind, step, message, None));
    }

    pub(super) fn progress(&self, node: &Node, progress: Progress) {
        let step = Some(progress.step.clone());
        self.events.add(node.uuid, event_of(node, "progress", step, None, Some(progress)));
    }
}

fn event_of(
    node: &Node,
    kind: &str,
    step: Option<String>,
    message: Option<String>,
    progress: Option<Progress>,
) -> NodeEvent {
    NodeEvent {
        seq: 0,
        time: 0.0,
        kind: kind.into(),
        provision_state: node.provision_state.as_str().into(),
        target_provision_state: node.target_provision_state.map(|state| state.as_str().into()),
        step,
        message,
        progress,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn flow_that_ends_late_leaves_the_entry_of_the_next_one() {
        let directory = tempfile::tempdir().unwrap();
        let config = EngineConfig {
            hostname: "host".into(),
            image_dir: directory.path().to_owned(),
            agent_timeout: Duration::from_secs(1),
            automated_clean: true,
            cleaning: CleaningPolicy::default(),
            inspection_collectors: Vec::new(),
        };
        let pki = Pki::open_or_create(&directory.path().join("pki")).unwrap();
        let media = MediaServer::bind(([127, 0, 0, 1], 0).into(), None).await.unwrap();
        let store = Arc::new(Store::in_memory().unwrap());
        let engine = Engine::new(config, store, pki, Arc::new(media), None);
        let (id, cancel) = (Uuid::new_v4(), CancellationToken::new());
        let task = tokio::spawn(std::future::pending());
        let running = Running { number: 1, cancel: cancel.clone(), task };
        engine.running.lock().unwrap().insert(id, running);
        engine.released(id, 0);
        engine.cancel(id);
        assert!(cancel.is_cancelled(), "the flow that runs cannot be aborted any more");
        engine.released(id, 1);
        assert!(engine.running.lock().unwrap().is_empty());
    }
}
