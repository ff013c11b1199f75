//! The bridge as a whole: its listeners, and its questions which nodes Ironic waits for.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Backoff;
use crate::chain::chain;
use crate::pki::Pki;

use super::config::BridgeConfig;
use super::ironic::Ironic;
use super::keep::Keep;
use super::roll::Roll;
use super::shared::{BridgeError, Shared};
use super::{proxy, serve, status};

/// Between two looks at which nodes Ironic waits for.
const LOOK: Duration = Duration::from_secs(3);
/// The same while Ironic does not tell; it grows to the second.
const LOOK_REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// A bridge that listens and is ready to lead.
pub struct Bridge {
    path: PathBuf,
    config: BridgeConfig,
    shared: Arc<Shared>,
    roll: Roll,
    tasks: TaskTracker,
    end: CancellationToken,
    addresses: Addresses,
}

/// Where the bridge listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addresses {
    pub proxy: Option<SocketAddr>,
    pub status: Option<SocketAddr>,
}

impl Bridge {
    /// Reads the configuration, opens what is kept, and listens.
    ///
    /// # Errors
    /// When any of it cannot be used.
    pub async fn start(path: &Path) -> Result<Self, BridgeError> {
        let config = BridgeConfig::read(path)?;
        let pki = Pki::open_or_create(&config.state_dir.join("pki"))?;
        let keep = Keep::open(&config.state_dir)?;
        let proxy = config.proxy.as_ref().map(|proxy| serve::public(proxy, Some(&pki))).transpose()?;
        let (public, tls) = proxy.map_or((None, None), |(public, tls)| (Some(public), tls));
        let shared = Arc::new(Shared {
            ironic: Ironic::new(&config.ironic)?,
            pki,
            keep,
            metrics: super::metrics::Metrics::default(),
            untaken: super::tokens::Untaken::default(),
            proxy: public,
            collectors: config.defaults.inspection_collectors.clone(),
        });
        let tasks = TaskTracker::new();
        let mut bridge = Self {
            path: path.to_owned(),
            config,
            roll: Roll::new(Arc::clone(&shared), tasks.clone()),
            shared,
            tasks,
            end: CancellationToken::new(),
            addresses: Addresses::default(),
        };
        bridge.listen(tls).await?;
        Ok(bridge)
    }

    /// Opens what [`Self::start`] opens, and makes nothing: what does not exist yet is made at the start. An address
    /// that is in use is no error, as a bridge may be running.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn check(path: &Path) -> Result<(), BridgeError> {
        let config = BridgeConfig::read(path)?;
        Ironic::new(&config.ironic)?;
        let authority = config.state_dir.join("pki");
        let made = authority.join("conductor.crt").exists();
        let pki = made.then(|| Pki::open_or_create(&authority)).transpose()?;
        Keep::check(&config.state_dir)?;
        if let Some(proxy) = &config.proxy {
            serve::public(proxy, pki.as_ref())?;
        }
        for address in config.proxy.iter().map(|proxy| proxy.listen).chain(config.status_listen) {
            match serve::bind(address).await {
                Err(BridgeError::Listen { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {}
                bound => drop(bound?),
            }
        }
        Ok(())
    }

    /// Ironic's calls wait in the listener until what was promised to it is known again.
    async fn listen(&mut self, tls: Option<Arc<rustls::ServerConfig>>) -> Result<(), BridgeError> {
        let proxy = match &self.config.proxy {
            Some(proxy) => Some(serve::bind(proxy.listen).await?),
            None => None,
        };
        let status = match self.config.status_listen {
            Some(address) => Some(serve::bind(address).await?),
            None => None,
        };
        self.roll.take_nodes(&self.config);
        self.roll.take_kept(&self.config)?;
        let (shared, registry) = (&self.shared, self.roll.registry());
        if let Some(listener) = proxy {
            self.addresses.proxy = listener.local_addr().ok();
            let state = proxy::ProxyState { shared: Arc::clone(shared), registry: Arc::clone(registry) };
            self.tasks.spawn(serve::serve(listener, tls, proxy::router(state), self.end.clone()));
        }
        if let Some(listener) = status {
            self.addresses.status = listener.local_addr().ok();
            let state = status::StatusState { shared: Arc::clone(shared), registry: Arc::clone(registry) };
            self.tasks.spawn(serve::serve(listener, None, status::router(state), self.end.clone()));
        }
        Ok(())
    }

    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Leads the nodes until `stop` is done; reads the list of nodes again with each message of `reload`.
    pub async fn run(mut self, stop: impl Future<Output = ()>, mut reload: mpsc::Receiver<()>) {
        let mut pauses = Backoff::new(LOOK_REFUSED.0, LOOK_REFUSED.1);
        let mut next = Instant::now();
        let field = self.config.discovery.as_ref().map(|discovery| discovery.address_field.clone());
        let shared = Arc::clone(&self.shared);
        tokio::pin!(stop);
        loop {
            let look = async {
                tokio::time::sleep_until(next).await;
                shared.ironic.waiting(field.as_deref()).await
            };
            tokio::select! {
                () = &mut stop => break,
                // A question that this cuts off is asked again.
                Some(()) = reload.recv() => self.reload(),
                answer = look => {
                    let told = self.roll.heard(answer, &self.config);
                    if told { pauses.reset(); }
                    let pause = if told { Backoff::new(LOOK, LOOK).delay() } else { pauses.delay() };
                    next = Instant::now() + pause;
                }
            }
        }
        self.end.cancel();
        self.roll.end();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Takes over changes in the list of nodes. Everything else needs a new process.
    fn reload(&mut self) {
        match BridgeConfig::read(&self.path) {
            Ok(config) => {
                self.roll.take_nodes(&config);
                let before = BridgeConfig { nodes: config.nodes.clone(), ..self.config.clone() };
                if before != config {
                    tracing::warn!("only changes of nodes were taken over; the rest needs a restart");
                }
                self.config.nodes = config.nodes;
            }
            Err(error) => tracing::error!("the configuration stays as it was: {}", chain(&error)),
        }
    }
}
