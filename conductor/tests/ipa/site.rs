//! A conductor without its API, whose only machine has an IPA, and that can be killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tacit_conductor::flows::{CleaningPolicy, Engine, EngineConfig, ProvisionRequest, VerbError};
use tacit_conductor::media::MediaServer;
use tacit_conductor::node::Node;
use tacit_conductor::pki::Pki;
use tacit_conductor::states::ProvisionState;
use tacit_conductor::store::Store;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

use crate::fake_ipa::FakeIpa;

/// No step here takes longer, whatever else the machine does.
const PATIENCE: Duration = Duration::from_secs(90);

pub(crate) struct Site {
    directory: TempDir,
    conductor: Option<Conductor>,
    pub(crate) node: Uuid,
}

struct Conductor {
    runtime: Runtime,
    engine: Arc<Engine>,
    store: Arc<Store>,
}

impl Conductor {
    async fn start(directory: &TempDir) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let config = EngineConfig {
            hostname: "host".into(),
            image_dir: directory.path().to_owned(),
            agent_timeout: Duration::from_secs(4),
            automated_clean: true,
            cleaning: CleaningPolicy::default(),
            inspection_collectors: Vec::new(),
        };
        let pki = Pki::open_or_create(&directory.path().join("pki")).unwrap();
        let store = Arc::new(Store::open(&directory.path().join("store")).unwrap());
        let media =
            runtime.spawn(MediaServer::bind(([127, 0, 0, 1], 0).into(), None)).await.unwrap().unwrap();
        let engine = Engine::new(config, Arc::clone(&store), pki, Arc::new(media), None);
        let resumed = Arc::clone(&engine);
        runtime.spawn(async move { resumed.resume() }).await.unwrap().unwrap();
        Self { runtime, engine, store }
    }
}

impl Site {
    pub(crate) async fn new(ipa: &FakeIpa) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let conductor = Conductor::start(&directory).await;
        let mut node = Node::new("manual");
        node.name = Some("n".into());
        node.provision_state = ProvisionState::Manageable;
        node.driver_info = ipa.driver_info();
        conductor.store.transact(|tx| tx.create_node(&node)).unwrap();
        Self { directory, conductor: Some(conductor), node: node.uuid }
    }

    fn conductor(&self) -> &Conductor {
        self.conductor.as_ref().unwrap()
    }

    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.conductor().store
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.conductor().engine
    }

    /// Ends the conductor as `kill -9` does, and starts another one on what it has stored.
    pub(crate) async fn crash(&mut self) {
        let runtime = self.conductor.take().unwrap().runtime;
        // What a thread of it is doing ends first: two engines at once is not what a crash leaves behind.
        let ended = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(60)));
        ended.await.unwrap();
        self.conductor = Some(Conductor::start(&self.directory).await);
    }

    pub(crate) async fn verb(&self, request: Value) -> Result<(), VerbError> {
        let (engine, node) = (Arc::clone(self.engine()), self.node);
        let request: ProvisionRequest = serde_json::from_value(request).unwrap();
        self.conductor().runtime.spawn(async move { engine.provision(node, request).await }).await.unwrap()
    }

    pub(crate) fn change(&self, change: impl Fn(&mut Node)) {
        let changed = self.store().transact(|tx| {
            let mut node = tx.node(self.node)?.unwrap();
            change(&mut node);
            tx.save_node(&mut node)
        });
        changed.unwrap();
    }

    pub(crate) fn image(&self, source: &str) {
        let info =
            json!({"image_source": source, "image_disk_format": "raw", "image_checksum": "a".repeat(64)});
        self.change(|node| node.instance_info = info.as_object().unwrap().clone());
    }

    pub(crate) async fn settles_in(&self, state: ProvisionState) -> Node {
        let started = Instant::now();
        loop {
            let node = self.store().node(self.node).unwrap().unwrap();
            let at = node.provision_state;
            let over = node.target_provision_state.is_none() || at.as_str().ends_with("failed");
            if over && node.reservation.is_none() {
                assert_eq!(at, state, "{:?}", node.last_error);
                return node;
            }
            assert!(started.elapsed() < PATIENCE, "it stays in {at}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn history(&self) -> String {
        let entries = self.store().transact(|tx| tx.history(self.node)).unwrap();
        entries.into_iter().map(|entry| format!("{}\n", entry.event)).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(conductor) = self.conductor.take() {
            conductor.runtime.shutdown_background();
        }
    }
}
