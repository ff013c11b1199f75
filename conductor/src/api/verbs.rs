//! What the API needs of the engine, and nothing more.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::flows::{Engine, NodeEventPage, PowerTarget, ProvisionRequest, Validation, VerbError};
use crate::node::Node;

/// An answer that is on its way.
pub type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The engine as the API sees it.
pub trait Verbs: Send + Sync {
    /// Carries out a verb; when it is done the node's state has changed.
    fn provision(self: Arc<Self>, node: Uuid, request: ProvisionRequest) -> Answer<Result<(), VerbError>>;
    /// Starts a power action.
    fn power(self: Arc<Self>, node: Uuid, target: PowerTarget) -> Answer<Result<(), VerbError>>;
    /// Interface kind to result.
    fn validate(&self, node: &Node) -> Vec<(&'static str, Validation)>;
    /// Events with a number above `after`, at once or after at most `wait`.
    fn events(self: Arc<Self>, node: Uuid, after: u64, wait: Duration) -> Answer<NodeEventPage>;
    /// Whether something works on the node now.
    fn is_locked(&self, node: Uuid) -> bool;
    /// The node was deleted: stops what is still done for it.
    fn forget(&self, node: Uuid);
}

impl Verbs for Engine {
    fn provision(self: Arc<Self>, node: Uuid, request: ProvisionRequest) -> Answer<Result<(), VerbError>> {
        Box::pin(async move {
            // A task of its own: a client that hangs up must not leave a verb half done.
            let verb = tokio::spawn(async move { Engine::provision(&self, node, request).await });
            verb.await.unwrap_or_else(|error| Err(VerbError::Internal(error.to_string())))
        })
    }

    fn power(self: Arc<Self>, node: Uuid, target: PowerTarget) -> Answer<Result<(), VerbError>> {
        Box::pin(async move { Engine::power(&self, node, target).await })
    }

    fn validate(&self, node: &Node) -> Vec<(&'static str, Validation)> {
        Engine::validate(self, node)
    }

    fn events(self: Arc<Self>, node: Uuid, after: u64, wait: Duration) -> Answer<NodeEventPage> {
        Box::pin(async move { Engine::events(&self, node, after, wait).await })
    }

    fn is_locked(&self, node: Uuid) -> bool {
        Engine::is_locked(self, node)
    }

    fn forget(&self, node: Uuid) {
        Engine::forget(self, node);
    }
}
