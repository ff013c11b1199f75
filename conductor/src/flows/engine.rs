//! The engine: accepts verbs, runs one flow a node, tells what happens as numbered events.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tacit_image::media::MediaTemplate;
use tacit_protocol::v2::Progress;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::driver::{self};
use super::events::{EventLog, NodeEvent, NodeEventPage};
use super::plan::FlowRecord;
use super::validate::{self, Validation};
use crate::agents::BootRecord;
use crate::media::MediaServer;
use crate::node::Node;
use crate::pki::Pki;
use crate::store::{Store, StoreError};

/// Kinds of documents in the store: the flow of a node, and the boot that its agent answers for.
pub(super) const FLOW_DOC: &str = "flow";
pub(super) const BOOT_DOC: &str = "boot";

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
}

struct Running {
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
        })
    }

    /// Takes up what an earlier conductor left: media are served again, flows go on at the step they had begun.
    /// Returns how many flows that are.
    pub fn resume(self: &Arc<Self>) -> Result<usize, StoreError> {
        let (boots, flows) = self.store.transact(|tx| {
            let flows = tx.docs::<FlowRecord>(FLOW_DOC)?;
            for mut node in tx.nodes()? {
                let stale = node.reservation.is_some() || node.target_power_state.is_some();
                if stale && !flows.iter().any(|(id, _)| *id == node.uuid) {
                    node.reservation = None;
                    node.target_power_state = None;
                    tx.save_node(&mut node)?;
                }
            }
            Ok::<_, StoreError>((tx.docs::<BootRecord>(BOOT_DOC)?, flows))
        })?;
        for (id, boot) in boots {
            if let Some(node) = self.store.node(id)?
                && let Err(error) = self.publish_medium(&node, &boot)
            {
                tracing::warn!(node = %id, error, "medium is not served again");
            }
        }
        for (id, flow) in &flows {
            tracing::info!(node = %id, flow = flow.id, step = flow.current, "flow goes on");
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
        // The lock is held over the spawn: a flow that ends at once must find its entry to remove.
        let mut running = self.running.lock().expect("no holder of the lock panics");
        let task = tokio::spawn(driver::drive(self.clone(), id, cancel.clone()));
        running.insert(id, Running { cancel, task });
    }

    /// Tells the flow of the node, if one runs here, to stop what it does.
    pub(super) fn cancel(&self, id: Uuid) {
        if let Some(running) = self.running.lock().expect("no holder of the lock panics").get(&id) {
            running.cancel.cancel();
        }
    }

    pub(super) fn released(&self, id: Uuid) {
        self.running.lock().expect("no holder of the lock panics").remove(&id);
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
