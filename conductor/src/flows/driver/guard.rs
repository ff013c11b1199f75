//! What happens when a flow's task itself fails: the store does not take a record, or the code panics. Whatever it
//! is, the node ends up free, with a reason that somebody can read and a verb that somebody can give.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{abandon, advance, event_type, follow};
use crate::chain::chain;
use crate::flows::engine::{Engine, FLOW_DOC};
use crate::flows::plan::FlowRecord;
use crate::node::Node;
use crate::states::Event;
use crate::store::{NewHistory, Severity, StoreError};

/// Pauses before a flow that the store failed is taken up again from what the store holds, as after a restart: steps
/// can be begun again, and an agent goes on with its operation meanwhile. After the last one the flow is given up.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
    Duration::from_secs(15),
    Duration::from_secs(30),
];
/// How long a flow must run for earlier failures to be forgotten.
const STEADY: Duration = Duration::from_secs(60);

/// Goes on until the flow has ended, one way or the other.
pub(in crate::flows) async fn drive(engine: Arc<Engine>, node: Uuid, number: u64, cancel: CancellationToken) {
    let mut failures = 0;
    loop {
        let started = Instant::now();
        let reason = match caught(follow(&engine, node, &cancel)).await {
            Ok(Ok(())) => break,
            Ok(Err(error)) => {
                let error = chain(&error);
                if started.elapsed() > STEADY {
                    failures = 0;
                }
                if let Some(pause) = PAUSES.get(failures) {
                    tracing::error!(%node, error, "the store failed; the flow is taken up again");
                    failures += 1;
                    tokio::time::sleep(*pause).await;
                    continue;
                }
                format!("the conductor's store failed: {error}")
            }
            Err(panic) => format!("internal error of the conductor: {panic}"),
        };
        tracing::error!(%node, reason, "the flow is given up");
        until_stored(node, || give_up(&engine, node, &reason)).await;
        failures = 0;
    }
    engine.released(node, number);
}

/// A future's value, or what it panicked with. What it had in hand is dropped; what it shares is behind locks and
/// transactions, which a panic leaves as they were.
pub(in crate::flows) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, String> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| words(&*panic))
}

/// Writes down an end, however long the store refuses: nobody else would.
pub(in crate::flows) async fn until_stored(node: Uuid, mut write: impl FnMut() -> Result<(), StoreError>) {
    let mut pauses = PAUSES.into_iter();
    while let Err(error) = write() {
        let pause = pauses.next().unwrap_or(PAUSES[PAUSES.len() - 1]);
        tracing::error!(%node, error = chain(&error), "an end was not stored; trying again");
        tokio::time::sleep(pause).await;
    }
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("panic without words").to_owned()
}

/// Shows the failure on the node. A flow that was under way is abandoned, so that its machine is let go next; one
/// that fails while letting go, and one whose record nobody can read, ends here.
fn give_up(engine: &Engine, id: Uuid, reason: &str) -> Result<(), StoreError> {
    let told = engine.store.transact(|tx| {
        let Some(mut node) = tx.node(id)? else {
            tx.delete_doc(FLOW_DOC, id)?;
            return Ok(None);
        };
        let flow = match tx.doc::<FlowRecord>(FLOW_DOC, id) {
            Ok(None) => return Ok(None),
            Ok(Some(flow)) => Some(flow),
            Err(StoreError::Record { .. }) => None,
            Err(error) => return Err(error),
        };
        match flow {
            Some(mut flow) if flow.abandoned.is_none() => {
                let step = flow.step().map_or_else(|| "end".into(), |record| record.step.name());
                abandon(tx, engine, &mut node, &mut flow, Event::Fail, format!("{step}: {reason}"))?;
            }
            flow => {
                let event = format!("machine could not be let go, it may still run: {reason}");
                end(&mut node, &event);
                let kind = flow.map_or("flow", |flow| event_type(flow.kind));
                let entry = NewHistory { severity: Severity::Error, event_type: kind.into(), event };
                tx.add_history(id, entry)?;
                tx.delete_doc(FLOW_DOC, id)?;
            }
        }
        tx.save_node(&mut node)?;
        Ok::<_, StoreError>(Some(node))
    })?;
    if let Some(node) = told {
        engine.tell(&node, "error", None, node.last_error.clone());
    }
    Ok(())
}

/// Frees a node. Its state fails where it still shows work, and the reason why a flow was abandoned stays the first.
fn end(node: &mut Node, event: &str) {
    advance(node, Event::Fail);
    node.last_error = Some(match node.last_error.take() {
        Some(first) => format!("{first}; {event}"),
        None => event.to_owned(),
    });
    node.inspection_started_at = None;
    node.reservation = None;
    node.clean_step.clear();
    node.deploy_step.clear();
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::flows::engine::{BOOT_DOC, EngineConfig};
    use crate::media::MediaServer;
    use crate::pki::Pki;
    use crate::states::ProvisionState;
    use crate::store::Store;

    struct Site {
        engine: Arc<Engine>,
        directory: tempfile::TempDir,
        node: Uuid,
    }

    impl Site {
        /// A node whose BMC is a person, in the midst of an undeployment without cleaning.
        async fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let config = EngineConfig {
                hostname: "host".into(),
                image_dir: directory.path().to_owned(),
                agent_timeout: Duration::from_secs(1),
                automated_clean: false,
                cleaning: crate::flows::CleaningPolicy::default(),
                inspection_collectors: Vec::new(),
            };
            let pki = Pki::open_or_create(&directory.path().join("pki")).unwrap();
            let media = MediaServer::bind(([127, 0, 0, 1], 0).into(), None).await.unwrap();
            let store = Arc::new(Store::open(&directory.path().join("store")).unwrap());
            let engine = Engine::new(config, store, pki, Arc::new(media), None);
            let mut node = Node::new("manual");
            node.provision_state = ProvisionState::Deleting;
            node.target_provision_state = Some(ProvisionState::Available);
            node.reservation = Some("host".into());
            let id = node.uuid;
            let flow = FlowRecord::undeploy("flow".into(), false);
            let stored = engine.store.transact(|tx| {
                tx.create_node(&node)?;
                tx.put_doc(FLOW_DOC, id, &flow)
            });
            stored.unwrap();
            Self { engine, directory, node: id }
        }

        async fn run(&self) -> Node {
            let drive = drive(self.engine.clone(), self.node, 0, CancellationToken::new());
            timeout(Duration::from_secs(3600), drive).await.expect("the flow's task does not end");
            let node = self.node();
            assert_eq!(node.reservation, None, "nobody can act on the node");
            let flow = self.engine.store.transact(|tx| tx.doc::<serde_json::Value>(FLOW_DOC, self.node));
            assert_eq!(flow.unwrap(), None);
            node
        }

        fn node(&self) -> Node {
            self.engine.store.node(self.node).unwrap().unwrap()
        }

        /// Another program at the store's file.
        fn sql(&self, statement: &str) {
            let connection = rusqlite::Connection::open(self.directory.path().join("store")).unwrap();
            connection.execute_batch(statement).unwrap();
        }
    }

    const REFUSE: &str = "CREATE TRIGGER full BEFORE UPDATE ON documents \
                          BEGIN SELECT RAISE(ABORT, 'disk full'); END";

    #[tokio::test(start_paused = true)]
    async fn store_that_fails_for_a_while_costs_the_flow_nothing() {
        let site = Site::new().await;
        site.sql(REFUSE);
        let mending = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            assert!(site.node().reservation.is_some());
            site.sql("DROP TRIGGER full");
        };
        let (node, ()) = tokio::join!(site.run(), mending);
        assert_eq!(node.provision_state, ProvisionState::Available);
        assert_eq!(node.last_error, None);
    }

    #[tokio::test(start_paused = true)]
    async fn store_that_fails_for_long_fails_the_flow_and_frees_the_node() {
        let site = Site::new().await;
        site.sql(REFUSE);
        let mending = async {
            tokio::time::sleep(Duration::from_secs(600)).await;
            site.sql("DROP TRIGGER full");
        };
        let (node, ()) = tokio::join!(site.run(), mending);
        assert_eq!(node.provision_state, ProvisionState::Error);
        let error = node.last_error.unwrap();
        assert!(error.starts_with("power_off: the conductor's store failed") && error.contains("disk full"));
        assert_eq!(node.power_state.as_deref(), Some("power off"), "the machine was not let go");
    }

    #[tokio::test(start_paused = true)]
    async fn boot_that_nobody_can_read_fails_no_step_without_need_of_it() {
        let site = Site::new().await;
        let boot = serde_json::json!({"address": 7});
        site.engine.store.transact(|tx| tx.put_doc(BOOT_DOC, site.node, &boot)).unwrap();
        let node = site.run().await;
        assert_eq!(node.last_error, None);
        assert_eq!(node.provision_state, ProvisionState::Available);
        assert_eq!(node.power_state.as_deref(), Some("power off"));
    }

    #[tokio::test(start_paused = true)]
    async fn flow_that_nobody_can_read_frees_the_node() {
        let site = Site::new().await;
        site.sql("UPDATE documents SET body = '{\"id\": 7}'");
        let node = site.run().await;
        assert_eq!(node.provision_state, ProvisionState::Error);
        let error = node.last_error.unwrap();
        assert!(error.contains("it may still run") && error.contains("not readable"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn flow_that_nobody_can_read_keeps_no_conductor_from_starting() {
        let site = Site::new().await;
        let boot = serde_json::Value::Null;
        let written = site.engine.store.transact(|tx| tx.put_doc(BOOT_DOC, site.node, &boot));
        written.unwrap();
        site.sql("UPDATE documents SET body = '{\"id\": 7}'");
        assert_eq!(site.engine.resume().unwrap(), 1);
        timeout(Duration::from_secs(3600), site.engine.ended(site.node)).await.unwrap();
        let node = site.node();
        assert_eq!((node.reservation, node.provision_state), (None, ProvisionState::Error));
    }

    #[tokio::test(start_paused = true)]
    async fn panic_fails_the_flow_and_frees_the_node() {
        let site = Site::new().await;
        let mut flow = FlowRecord::deploy("flow".into());
        flow.current = flow.steps.iter().position(|record| record.step.name() == "eject_medium").unwrap();
        let deploying = site.engine.store.transact(|tx| {
            let mut node = tx.node(site.node)?.expect("made above");
            node.provision_state = ProvisionState::Deploying;
            node.target_provision_state = Some(ProvisionState::Active);
            tx.save_node(&mut node)?;
            tx.put_doc(FLOW_DOC, site.node, &flow)
        });
        deploying.unwrap();
        // From here on whoever looks for the node's medium panics: the step, and letting go as well.
        let engine = site.engine.clone();
        let holder = std::thread::spawn(move || {
            let _held = engine.published.lock();
            panic!("while the lock is held");
        });
        assert!(holder.join().is_err());
        let node = site.run().await;
        assert_eq!(node.provision_state, ProvisionState::DeployFailed);
        let error = node.last_error.unwrap();
        assert!(error.starts_with("eject_medium: internal error of the conductor: "), "{error}");
        assert!(error.contains("; machine could not be let go, it may still run: "), "{error}");
        let history = site.engine.store.transact(|tx| tx.history(site.node)).unwrap();
        assert_eq!(history.iter().filter(|entry| entry.severity == Severity::Error).count(), 2);
    }
}
