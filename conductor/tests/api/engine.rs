//! An engine that does at once what real flows take minutes for, and remembers what it was asked.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tacit_conductor::api::{Answer, Verbs};
use tacit_conductor::flows::{
    NodeEvent, NodeEventPage, PowerTarget, ProvisionRequest, Validation, VerbError,
};
use tacit_conductor::node::Node;
use tacit_conductor::states::{Event, Position, next};
use tacit_conductor::store::{Store, StoreError};
use uuid::Uuid;

pub(crate) struct FakeEngine {
    pub(crate) store: Arc<Store>,
    pub(crate) requests: Mutex<Vec<ProvisionRequest>>,
    pub(crate) locked: AtomicBool,
    /// The lock is let go after it was looked at so many times.
    pub(crate) locked_looks: AtomicU32,
    /// Nodes that were deleted.
    pub(crate) forgotten: Mutex<Vec<Uuid>>,
}

impl FakeEngine {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            requests: Mutex::new(Vec::new()),
            locked: AtomicBool::new(false),
            locked_looks: AtomicU32::new(0),
            forgotten: Mutex::new(Vec::new()),
        }
    }

    /// One step of the state machine, the work skipped.
    fn carry_out(&self, node: Uuid, request: &ProvisionRequest) -> Result<(), VerbError> {
        let event = match request.target.as_str() {
            "active" | "deploy" => Event::Deploy,
            "deleted" | "undeploy" => Event::Delete,
            verb => Event::parse(verb).ok_or_else(|| VerbError::Invalid(format!("no verb {verb}")))?,
        };
        let internal = |error: StoreError| VerbError::Internal(error.to_string());
        let moved = self.store.transact(|tx| {
            let mut node = tx.node(node)?.expect("the API looked it up");
            let at = Position { state: node.provision_state, target: node.target_provision_state };
            let Some(position) = next(at, event) else { return Ok::<_, StoreError>(false) };
            node.provision_state = position.state;
            node.target_provision_state = position.target;
            tx.save_node(&mut node)?;
            Ok(true)
        });
        match moved.map_err(internal)? {
            true => Ok(()),
            false => Err(VerbError::Invalid(format!("{} is not possible now", request.target))),
        }
    }
}

impl Verbs for FakeEngine {
    fn provision(self: Arc<Self>, node: Uuid, request: ProvisionRequest) -> Answer<Result<(), VerbError>> {
        let result = self.carry_out(node, &request);
        self.requests.lock().unwrap().push(request);
        Box::pin(async move { result })
    }

    fn power(self: Arc<Self>, node: Uuid, target: PowerTarget) -> Answer<Result<(), VerbError>> {
        let state =
            if matches!(target, PowerTarget::On | PowerTarget::Reboot) { "power on" } else { "power off" };
        let result = self.store.transact(|tx| {
            let mut node = tx.node(node)?.expect("the API looked it up");
            node.power_state = Some(state.into());
            tx.save_node(&mut node)
        });
        Box::pin(async move { result.map_err(|error| VerbError::Internal(error.to_string())) })
    }

    fn validate(&self, node: &Node) -> Vec<(&'static str, Validation)> {
        let image = node.instance_info.contains_key("image_source");
        let reason = (!image).then(|| "instance_info.image_source is missing".to_owned());
        vec![
            ("boot", Validation { result: true, reason: None }),
            ("deploy", Validation { result: image, reason }),
            ("power", Validation { result: true, reason: None }),
        ]
    }

    fn events(self: Arc<Self>, node: Uuid, after: u64, _wait: Duration) -> Answer<NodeEventPage> {
        let node = self.store.node(node).unwrap().expect("the API looked it up");
        let event = NodeEvent {
            seq: 1,
            time: 0.0,
            kind: "state".into(),
            provision_state: node.provision_state.to_string(),
            target_provision_state: None,
            step: None,
            message: None,
            progress: None,
        };
        let events = if after == 0 { vec![event] } else { Vec::new() };
        Box::pin(async move { NodeEventPage { events, last: 1 } })
    }

    fn is_locked(&self, _node: Uuid) -> bool {
        if self.locked_looks.load(Ordering::SeqCst) > 0 {
            return self.locked_looks.fetch_sub(1, Ordering::SeqCst) > 0;
        }
        self.locked.load(Ordering::SeqCst)
    }

    fn forget(&self, node: Uuid) {
        self.forgotten.lock().unwrap().push(node);
    }
}
