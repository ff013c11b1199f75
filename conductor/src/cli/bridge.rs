//! `tacit bridge`: stock Ironic in front of silent agents.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::arguments::{BridgeArguments, BridgeCommand};
use crate::bridge::{Bridge, BridgeConfig};
use crate::pki::Pki;

/// How long requests under way may take after the bridge was asked to stop.
const GRACE: Duration = Duration::from_secs(5);

pub(super) async fn bridge(arguments: BridgeArguments) -> anyhow::Result<()> {
    match arguments.command {
        None => run(&arguments.config).await,
        Some(BridgeCommand::Ca) => {
            let config = BridgeConfig::read(&arguments.config)?;
            let pki = Pki::open_or_create(&config.state_dir.join("pki"))?;
            write!(std::io::stdout(), "{}", pki.ca_pem()).context("standard output is closed")
        }
        Some(BridgeCommand::Check) => Ok(Bridge::check(&arguments.config).await?),
    }
}

/// Until SIGTERM or SIGINT; SIGHUP reads the list of nodes again.
async fn run(config: &Path) -> anyhow::Result<()> {
    super::serve::log_to_stderr();
    let bridge = Bridge::start(config).await?;
    let addresses = bridge.addresses();
    tracing::info!(proxy = ?addresses.proxy, status = ?addresses.status, "the bridge is up");
    let stop = super::serve::asked_to_stop()?;
    let (tell, reload) = mpsc::channel(1);
    let mut hang_up = signal(SignalKind::hangup())?;
    tokio::spawn(async move { while hang_up.recv().await.is_some() && tell.send(()).await.is_ok() {} });
    let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
    let stop = async move {
        stop.await;
        // Dropped, too, it means the same.
        drop(stopping);
    };
    let late = async {
        drop(stopped.await);
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        () = bridge.run(stop, reload) => {}
        () = late => tracing::warn!("requests under way were cut off"),
    }
    tracing::info!("stopped");
    Ok(())
}
