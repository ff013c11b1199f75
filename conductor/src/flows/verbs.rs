//! Verbs of the API: checked against the node, then turned into a flow.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::driver::{self, advance};
use super::engine::{Engine, FLOW_DOC};
use super::plan::{FlowKind, FlowRecord};
use super::validate;
use crate::chain::chain;
use crate::node::Node;
use crate::states::{Event, ProvisionState};
use crate::store::{NewHistory, Severity, StoreError, now_iso};

/// Body of `PUT /v1/nodes/{ident}/states/provision`, checked for shape by the API.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct ProvisionRequest {
    /// `manage`, `inspect`, `provide`, `clean`, `active`, `deploy`, `rebuild`, `deleted`, `undeploy`, `abort`.
    pub target: String,
    /// base64(gzip(ISO9660)) or a URL, as text.
    pub configdrive: Option<String>,
    pub clean_steps: Option<Vec<Map<String, Value>>>,
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

impl Engine {
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
                node.last_error = None;
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
                needs(validate::deployable(node, &self.config.image_dir))?;
                needs(validate::boot(node, has_medium))?;
                node.instance_info.entry("image_type").or_insert_with(|| "whole-disk".into());
                Some(FlowRecord::deploy(id))
            }
            Event::Delete => Some(FlowRecord::undeploy(id, self.cleans(node))),
            _ => None,
        })
    }

    fn cleans(&self, node: &Node) -> bool {
        node.automated_clean.unwrap_or(self.config.automated_clean)
    }

    pub(super) fn unlocked(&self, node: &Node) -> Result<(), VerbError> {
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
        self.cancel(id);
        Ok(())
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
