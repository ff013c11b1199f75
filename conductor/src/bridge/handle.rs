//! One node, as its leader and the reverse proxy share it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::agents::AgentClient;

use super::config::Node;
use super::keep::{Keep, KeepError};
use super::session::Session;

/// What the bridge does for a node now. In the order of the metrics page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// Ironic does not wait for it.
    Idle,
    /// Another bridge has its lease.
    Elsewhere,
    /// Its agent does not answer.
    Searching,
    /// Its agent answers; Ironic gave no token yet.
    Asking,
    /// Ironic leads the agent.
    Driving,
    /// An operation was lost, and Ironic is to learn of it.
    Failing,
}

impl Phase {
    pub(super) const ALL: [Self; 6] =
        [Self::Idle, Self::Elsewhere, Self::Searching, Self::Asking, Self::Driving, Self::Failing];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Elsewhere => "elsewhere",
            Self::Searching => "searching",
            Self::Asking => "asking",
            Self::Driving => "driving",
            Self::Failing => "failing",
        }
    }
}

pub(super) struct Handle {
    pub(super) node: Node,
    /// Rung when the proxy passed on a command: the leader looks again.
    pub(super) bell: Notify,
    keep: Keep,
    session: Mutex<Option<Session>>,
    /// Whether [`Self::session`] is what the disk says: this process leads the node.
    recalled: AtomicBool,
    /// The node has another handle, and whoever still holds this one does nothing more for it.
    retired: CancellationToken,
    /// Held while a change is on its way to the disk.
    writing: tokio::sync::Mutex<()>,
    contact: watch::Sender<Option<AgentClient>>,
    phase: Mutex<Phase>,
    lending: Mutex<Option<Task>>,
    /// Commands on their way through the proxy to the agent.
    on_their_way: AtomicUsize,
}

/// A command on its way.
pub(super) struct OnItsWay<'a>(&'a Handle);

impl Drop for OnItsWay<'_> {
    fn drop(&mut self) {
        self.0.on_their_way.fetch_sub(1, Ordering::SeqCst);
        self.0.bell.notify_one();
    }
}

/// A task that ends with its owner.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Handle {
    pub(super) fn new(node: Node, keep: Keep) -> Self {
        Self {
            node,
            bell: Notify::new(),
            keep,
            session: Mutex::default(),
            recalled: AtomicBool::new(false),
            retired: CancellationToken::new(),
            writing: tokio::sync::Mutex::default(),
            contact: watch::Sender::new(None),
            phase: Mutex::new(Phase::Idle),
            lending: Mutex::default(),
            on_their_way: AtomicUsize::new(0),
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.node.key
    }

    pub(super) fn session(&self) -> Option<Session> {
        lock(&self.session).clone()
    }

    /// Looks at the session without a copy of it.
    pub(super) fn with_session<T>(&self, look: impl FnOnce(&Session) -> T) -> Option<T> {
        lock(&self.session).as_ref().map(look)
    }

    /// What an earlier bridge left; to be called by whoever has the lease.
    pub(super) fn recall(&self) -> Result<(), KeepError> {
        let found = self.keep.load(self.key())?;
        *lock(&self.session) = found;
        self.recalled.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// The node is to have another handle: until that one is recalled, nobody knows what was promised.
    pub(super) fn leave(&self) {
        self.recalled.store(false, Ordering::SeqCst);
    }

    pub(super) fn is_recalled(&self) -> bool {
        self.recalled.load(Ordering::SeqCst)
    }

    /// Replaces the session, on disk first.
    pub(super) async fn put(&self, session: Option<Session>) -> Result<(), KeepError> {
        let _turn = self.writing.lock().await;
        self.store(session).await
    }

    /// Changes the session where there is one, on disk first; nothing is written where nothing changes.
    pub(super) async fn change(&self, change: impl FnOnce(&mut Session)) -> Result<(), KeepError> {
        let _turn = self.writing.lock().await;
        let Some(before) = self.session() else { return Ok(()) };
        let mut after = before.clone();
        change(&mut after);
        if after == before { Ok(()) } else { self.store(Some(after)).await }
    }

    /// Ends all use of this handle. When this returns, nothing is on its way to the disk, and nothing will be.
    pub(super) async fn retire(&self) {
        let _turn = self.writing.lock().await;
        self.retired.cancel();
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.is_cancelled()
    }

    async fn store(&self, session: Option<Session>) -> Result<(), KeepError> {
        if self.retired.is_cancelled() {
            return Err(KeepError::Retired);
        }
        let (keep, key, copy) = (self.keep.clone(), self.key().to_owned(), session.clone());
        let written = tokio::task::spawn_blocking(move || keep.save(&key, copy.as_ref())).await;
        written.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        *lock(&self.session) = session;
        Ok(())
    }

    pub(super) fn set_contact(&self, client: Option<AgentClient>) {
        self.contact.send_replace(client);
    }

    pub(super) fn has_contact(&self) -> bool {
        self.contact.borrow().is_some()
    }

    /// The way to the agent, as soon as there is one.
    pub(super) async fn contact(&self, patience: Duration) -> Option<AgentClient> {
        let mut contact = self.contact.subscribe();
        let found = self.retired.run_until_cancelled(contact.wait_for(Option::is_some));
        let found = tokio::time::timeout(patience, found).await.ok()??.ok()?;
        found.clone()
    }

    /// To be held from before a command is noted until its answer is.
    pub(super) fn pass_on(&self) -> OnItsWay<'_> {
        self.on_their_way.fetch_add(1, Ordering::SeqCst);
        OnItsWay(self)
    }

    pub(super) fn passes_on(&self) -> bool {
        self.on_their_way.load(Ordering::SeqCst) > 0
    }

    pub(super) fn phase(&self) -> Phase {
        *lock(&self.phase)
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        *lock(&self.phase) = phase;
    }

    /// Replaces what lends connections; the one before ends.
    pub(super) fn set_lending(&self, task: Option<Task>) {
        *lock(&self.lending) = task;
    }

    pub(super) fn lends(&self) -> bool {
        lock(&self.lending).as_ref().is_some_and(|task| !task.is_over())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All nodes, for the proxy and the metrics page.
#[derive(Default)]
pub(super) struct Registry {
    handles: Mutex<Vec<Arc<Handle>>>,
}

impl Registry {
    /// Adds a node, in place of its handle before.
    pub(super) fn add(&self, handle: Arc<Handle>) {
        let mut handles = lock(&self.handles);
        handles.retain(|before| before.key() != handle.key());
        handles.push(handle);
    }

    /// Forgets all nodes that are not led any more.
    pub(super) fn retain(&self, is_led: impl Fn(&str) -> bool) {
        lock(&self.handles).retain(|handle| is_led(handle.key()));
    }

    pub(super) fn all(&self) -> Vec<Arc<Handle>> {
        lock(&self.handles).clone()
    }

    /// The node that Ironic calls by this UUID.
    pub(super) fn find(&self, uuid: uuid::Uuid) -> Option<Arc<Handle>> {
        let handles = lock(&self.handles);
        let own = |handle: &&Arc<Handle>| handle.node.uuid == Some(uuid);
        let told = |handle: &&Arc<Handle>| handle.with_session(|session| session.node) == Some(uuid);
        handles.iter().find(own).or_else(|| handles.iter().find(told)).cloned()
    }

    /// Whether there is a node of which nobody knows yet what Ironic calls it.
    pub(super) fn has_unnamed(&self) -> bool {
        lock(&self.handles).iter().any(|handle| handle.node.uuid.is_none() && !handle.is_recalled())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::config::Mode;
    use super::super::session::tests::session;
    use super::*;

    pub(in crate::bridge) fn node() -> Node {
        Node {
            key: "a".to_owned(),
            uuid: None,
            macs: Vec::new(),
            address: ([192, 0, 2, 1], 9999).into(),
            mode: Mode::Proxy,
            inspection: true,
            system_uuid: None,
            certificate: None,
            discovered: false,
        }
    }

    #[test]
    fn a_node_that_gets_another_handle_is_never_unknown() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::open(directory.path()).unwrap();
        let (registry, uuid) = (Registry::default(), uuid::Uuid::from_u128(1));
        let named = || Arc::new(Handle::new(Node { uuid: Some(uuid), ..node() }, keep.clone()));
        let (before, after) = (named(), named());
        before.recall().unwrap();
        registry.add(Arc::clone(&before));
        assert!(registry.find(uuid).unwrap().is_recalled());
        before.leave();
        assert!(!registry.find(uuid).unwrap().is_recalled());
        registry.add(Arc::clone(&after));
        after.recall().unwrap();
        registry.retain(|key| key == "a");
        assert!(registry.find(uuid).unwrap().is_recalled());
        registry.retain(|_| false);
        assert!(registry.find(uuid).is_none());
    }

    #[tokio::test]
    async fn a_retired_handle_holds_nobody_up_and_writes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let keep = Keep::open(directory.path()).unwrap();
        let handle = Arc::new(Handle::new(node(), keep.clone()));
        handle.put(Some(session())).await.unwrap();
        let waiting = Arc::clone(&handle);
        let waiting = tokio::spawn(async move { waiting.contact(Duration::from_secs(3600)).await.is_none() });
        tokio::task::yield_now().await;
        handle.retire().await;
        let ended = tokio::time::timeout(Duration::from_secs(60), waiting).await;
        assert!(ended.expect("it still waits").unwrap());
        assert!(matches!(handle.put(None).await, Err(KeepError::Retired)));
        let change = |session: &mut Session| session.announced = !session.announced;
        assert!(matches!(handle.change(change).await, Err(KeepError::Retired)));
        assert!(keep.load("a").unwrap() == Some(session()));
    }
}
