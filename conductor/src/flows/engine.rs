//! The engine: accepts verbs, runs one flow a node, tells what happens as numbered events.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};
use tacit_image::media::MediaTemplate;
use tacit_protocol::v2::Progress;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::driver::{self, advance};
use super::events::{EventLog, NodeEvent, NodeEventPage};
use super::plan::FlowRecord;
use super::steps::chain;
use super::validate::{self, Validation};
use super::{image, plan::FlowKind};
use crate::agents::BootRecord;
use crate::bmc::{Bmc, PowerState};
use crate::media::MediaServer;
use crate::node::Node;
use crate::pki::Pki;
use crate::states::{Event, ProvisionState};
use crate::store::{NewHistory, Severity, Store, StoreError, now_iso};

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

/// Body of `PUT /v1/nodes/{ident}/states/provision`, checked for shape by the API.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ProvisionRequest {
    /// `manage`, `inspect`, `provide`, `clean`, `active`, `deploy`, `rebuild`, `deleted`, `undeploy`, `abort`.
    pub target: String,
    /// base64(gzip(ISO9660)) or a URL, as text.
    pub configdrive: Option<String>,
    pub clean_steps: Option<Vec<Map<String, Value>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PowerTarget {
    On,
    Off,
    SoftOff,
    Reboot,
}

/// Why a verb was not accepted; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// 400
    #[error("{0}")]
    Invalid(String),
    /// 409
    #[error("{0}")]
    Locked(String),
    /// 403
    #[error("{0}")]
    Protected(String),
    /// 500
    #[error("{0}")]
    Internal(String),
}

impl From<StoreError> for VerbError {
    fn from(error: StoreError) -> Self {
        Self::Internal(chain(&error))
    }
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

    /// Carries out a verb: when this returns, the node's state has changed and the work goes on by itself.
    pub async fn provision(self: &Arc<Self>, id: Uuid, request: ProvisionRequest) -> Result<(), VerbError> {
        let event = match request.target.as_str() {
            "manage" => Event::Manage,
            "inspect" => Event::Inspect,
            "provide" => Event::Provide,
            "clean" => Event::Clean,
            "active" | "deploy" => Event::Deploy,
            "rebuild" => Event::Rebuild,
            "deleted" | "undeploy" => Event::Delete,
            "abort" => Event::Abort,
            other => {
                return Err(VerbError::Invalid(format!("{other} is not a provision target served here")));
            }
        };
        let in_the_way =
            self.store.node(id)?.is_some_and(|node| node.provision_state == ProvisionState::WaitCallback);
        if event == Event::Abort || (event == Event::Delete && in_the_way) {
            self.abort(id, event)?;
            if event == Event::Abort {
                return Ok(());
            }
            self.ended(id).await;
        }
        let (node, starts) = self.store.transact(|tx| {
            let mut node = tx.node(id)?.ok_or_else(|| VerbError::Internal(format!("node {id} is gone")))?;
            let flow = self.accept(&mut node, event, &request)?;
            let starts = flow.is_some();
            if let Some(flow) = flow {
                node.last_error = None;
                node.reservation = Some(self.config.hostname.clone());
                let kind = driver::event_type(flow.kind);
                let entry = NewHistory {
                    severity: Severity::Info,
                    event_type: format!("{kind}_start"),
                    event: format!("{event} was asked for"),
                };
                tx.add_history(id, entry)?;
                tx.put_doc(FLOW_DOC, id, &flow)?;
            }
            tx.save_node(&mut node)?;
            Ok::<_, VerbError>((node, starts))
        })?;
        self.tell(&node, "state", None, None);
        if starts {
            self.start(id);
        }
        Ok(())
    }

    /// Checks a verb against the node and moves it; returns the flow that follows, if any.
    fn accept(
        &self,
        node: &mut Node,
        event: Event,
        request: &ProvisionRequest,
    ) -> Result<Option<FlowRecord>, VerbError> {
        let refuse = |reason: String| Err(VerbError::Invalid(reason));
        self.unlocked(node)?;
        let from = node.provision_state;
        if !advance(node, event) {
            return refuse(format!(
                "The requested action \"{event}\" can not be performed on node \"{}\" while it is in state \"{from}\".",
                node.uuid
            ));
        }
        if node.maintenance && matches!(event, Event::Deploy | Event::Rebuild | Event::Clean) {
            return refuse(format!("Node {} is in maintenance mode: {event} is refused", node.uuid));
        }
        if node.protected && matches!(event, Event::Delete | Event::Rebuild) {
            return Err(VerbError::Protected(format!("Node {} is protected: {event} is refused", node.uuid)));
        }
        if node.retired && event == Event::Provide {
            return refuse(format!("Node {} is retired and can not be provided", node.uuid));
        }
        let has_medium = self.template.is_some();
        let id = Uuid::new_v4().to_string();
        let needs = |result: Result<(), String>| result.map_err(VerbError::Invalid);
        Ok(match event {
            Event::Manage if node.provision_state == ProvisionState::Verifying => {
                needs(validate::bmc(node))?;
                Some(FlowRecord::verify(id))
            }
            Event::Inspect => {
                needs(validate::boot(node, has_medium))?;
                node.inspection_started_at = Some(now_iso());
                Some(FlowRecord::inspect(id))
            }
            Event::Provide if !self.cleans(node) => {
                advance(node, Event::Done);
                None
            }
            Event::Provide => {
                needs(validate::boot(node, has_medium))?;
                Some(FlowRecord::clean(id, None))
            }
            Event::Clean => {
                needs(validate::boot(node, has_medium))?;
                let steps = request.clean_steps.clone().unwrap_or_default();
                if steps.is_empty() {
                    return refuse("clean_steps is missing or empty".into());
                }
                Some(FlowRecord::clean(id, Some(steps)))
            }
            Event::Deploy | Event::Rebuild => {
                if let Some(drive) = &request.configdrive {
                    node.instance_info.insert("configdrive".into(), drive.clone().into());
                }
                needs(image::check(node, &self.config.image_dir))?;
                needs(validate::boot(node, has_medium))?;
                node.instance_info.insert("image_type".into(), "whole-disk".into());
                Some(FlowRecord::deploy(id))
            }
            Event::Delete => Some(FlowRecord::undeploy(id, self.cleans(node))),
            _ => None,
        })
    }

    fn cleans(&self, node: &Node) -> bool {
        node.automated_clean.unwrap_or(self.config.automated_clean)
    }

    fn unlocked(&self, node: &Node) -> Result<(), VerbError> {
        match &node.reservation {
            Some(host) => Err(VerbError::Locked(format!(
                "Node {} is locked by host {host}, please retry after the current operation is completed.",
                node.uuid
            ))),
            None => Ok(()),
        }
    }

    /// Gives up the flow of a node that waits for its agent.
    fn abort(self: &Arc<Self>, id: Uuid, event: Event) -> Result<(), VerbError> {
        let node = self.store.transact(|tx| {
            let mut node = tx.node(id)?.ok_or_else(|| VerbError::Internal(format!("node {id} is gone")))?;
            self.unlocked(&node)?;
            let mut probe = node.clone();
            let Some(mut flow) = tx.doc::<FlowRecord>(FLOW_DOC, id)?.filter(|_| advance(&mut probe, Event::Abort))
            else {
                return Err(VerbError::Invalid(format!(
                    "The requested action \"{event}\" can not be performed on node \"{id}\" while it is in state \"{}\".",
                    node.provision_state
                )));
            };
            let step = flow.step().map_or_else(|| "end".into(), |record| record.step.name());
            let reason = format!("{} was aborted by request during {step}", abort_words(flow.kind));
            driver::abandon(tx, self, &mut node, &mut flow, Event::Abort, reason)?;
            tx.save_node(&mut node)?;
            Ok(node)
        })?;
        self.tell(&node, "error", None, node.last_error.clone());
        if let Some(running) = self.running.lock().expect("no holder of the lock panics").get(&id) {
            running.cancel.cancel();
        }
        Ok(())
    }

    /// Starts a power action.
    pub async fn power(self: &Arc<Self>, id: Uuid, target: PowerTarget) -> Result<(), VerbError> {
        let node = self.store.transact(|tx| {
            let mut node = tx.node(id)?.ok_or_else(|| VerbError::Internal(format!("node {id} is gone")))?;
            self.unlocked(&node)?;
            if node.provision_state.is_working() {
                return Err(VerbError::Invalid(format!(
                    "Node {id} is in state {}: its power is the conductor's now",
                    node.provision_state
                )));
            }
            validate::bmc(&node).map_err(VerbError::Invalid)?;
            if node.disable_power_off && matches!(target, PowerTarget::Off | PowerTarget::SoftOff) {
                return Err(VerbError::Locked(format!(
                    "Node {id} must not be powered off (disable_power_off)"
                )));
            }
            node.last_error = None;
            node.reservation = Some(self.config.hostname.clone());
            let goal = if matches!(target, PowerTarget::Off | PowerTarget::SoftOff) {
                "power off"
            } else {
                "power on"
            };
            node.target_power_state = Some(goal.into());
            tx.save_node(&mut node)?;
            Ok::<_, VerbError>(node)
        })?;
        let engine = self.clone();
        tokio::spawn(async move {
            let result = act(&node, target).await;
            if let Err(error) = engine.power_ended(id, result) {
                tracing::error!(node = %id, error = chain(&error), "end of a power action was not stored");
            }
        });
        Ok(())
    }

    fn power_ended(&self, id: Uuid, result: Result<PowerState, String>) -> Result<(), StoreError> {
        let node = self.store.transact(|tx| {
            let Some(mut node) = tx.node(id)? else { return Ok(None) };
            node.reservation = None;
            node.target_power_state = None;
            match result {
                Ok(state) => driver::set_power(&mut node, state),
                Err(reason) => {
                    let entry = NewHistory {
                        severity: Severity::Error,
                        event_type: "power".into(),
                        event: reason.clone(),
                    };
                    tx.add_history(id, entry)?;
                    node.last_error = Some(reason);
                }
            }
            tx.save_node(&mut node)?;
            Ok::<_, StoreError>(Some(node))
        })?;
        if let Some(node) = node {
            self.tell(&node, "state", None, None);
        }
        Ok(())
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

    fn start(self: &Arc<Self>, id: Uuid) {
        let cancel = CancellationToken::new();
        // The lock is held over the spawn: a flow that ends at once must find its entry to remove.
        let mut running = self.running.lock().expect("no holder of the lock panics");
        let task = tokio::spawn(driver::drive(self.clone(), id, cancel.clone()));
        running.insert(id, Running { cancel, task });
    }

    pub(super) fn released(&self, id: Uuid) {
        self.running.lock().expect("no holder of the lock panics").remove(&id);
    }

    /// Waits until no flow of the node runs here any more.
    async fn ended(&self, id: Uuid) {
        let running = self.running.lock().expect("no holder of the lock panics").remove(&id);
        if let Some(running) = running
            && let Err(error) = running.task.await
        {
            tracing::error!(node = %id, %error, "flow panicked");
        }
    }

    pub(super) fn boot_record(&self, id: Uuid) -> Result<Option<BootRecord>, StoreError> {
        self.store.transact(|tx| tx.doc::<BootRecord>(BOOT_DOC, id))
    }

    pub(super) fn withdraw_medium(&self, id: Uuid) -> Result<(), StoreError> {
        if let Some(boot) = self.boot_record(id)? {
            self.media.unregister(&boot.media_token);
        }
        Ok(())
    }

    /// How far the BMC has read the medium: the only sign of life before the agent speaks.
    pub(super) fn medium_words(&self, token: &str) -> String {
        match self.media.access(token).map_or(0, |access| access.bytes) {
            0 => "nobody fetched the medium: can the BMC reach the media URL?".into(),
            bytes => format!("{bytes} bytes of the medium were fetched"),
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

fn abort_words(kind: FlowKind) -> &'static str {
    match kind {
        FlowKind::Inspect => "inspection",
        FlowKind::Deploy => "deployment",
        FlowKind::Verify => "verification",
        FlowKind::Clean | FlowKind::Undeploy => "cleaning",
    }
}

async fn act(node: &Node, target: PowerTarget) -> Result<PowerState, String> {
    let bmc = Bmc::for_node(&node.driver, &node.driver_info).map_err(|error| chain(&error))?;
    let (result, state) = match target {
        PowerTarget::On => (bmc.power_on().await, PowerState::On),
        PowerTarget::Off => (bmc.power_off().await, PowerState::Off),
        PowerTarget::SoftOff => (bmc.soft_off().await, PowerState::Off),
        PowerTarget::Reboot => (bmc.reboot().await, PowerState::On),
    };
    result.map(|()| state).map_err(|error| chain(&error))
}
