//! `tacit serve`: the conductor as a process.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tacit_image::media::MediaTemplate;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::arguments::{CleaningArguments, ServeArguments};
use crate::api::{ApiState, router};
use crate::flows::{CleaningPolicy, Engine, EngineConfig};
use crate::media::MediaServer;
use crate::pki::Pki;
use crate::store::{Store, host_name};

/// How long requests under way may take after the conductor was asked to stop.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until SIGTERM or SIGINT; requests under way are finished, flows go on at the next start.
pub(super) async fn serve(arguments: ServeArguments) -> anyhow::Result<()> {
    log_to_stderr();
    state_directory(&arguments.state_dir)?;
    let _lock = lock(&arguments.state_dir)?;
    let store = Arc::new(Store::open(&arguments.state_dir.join("tacit.sqlite"))?);
    // Before any flow goes on: an address that is taken must not leave a step half done.
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let engine = engine(&arguments, &store).await?;
    let app = router(ApiState { store, engine, public_url: None });
    tracing::info!(address = %listener.local_addr()?, "the API is served");
    let asked = CancellationToken::new();
    let served = axum::serve(listener, app).with_graceful_shutdown(asked.clone().cancelled_owned());
    let stop = asked_to_stop()?;
    tokio::select! {
        result = async { served.await } => result?,
        // Watchers hold their connections open with long polls: they are cut after a while.
        () = async { stop.await; asked.cancel(); tokio::time::sleep(GRACE).await } => {}
    }
    tracing::info!("stopped");
    Ok(())
}

pub(super) fn log_to_stderr() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(ansi)
        .with_writer(std::io::stderr)
        // It would panic where nobody reads the log any more, in the midst of a flow.
        .log_internal_errors(false)
        .init();
}

/// Makes the directory of the conductor's secrets for its own user alone.
fn state_directory(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("cannot make the state directory {}", path.display()))?;
    let mode = std::fs::metadata(path)?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "others can look into the state directory; it holds secrets");
    }
    Ok(())
}

/// The engine with all that it needs, going on with what an earlier one left.
async fn engine(arguments: &ServeArguments, store: &Arc<Store>) -> anyhow::Result<Arc<Engine>> {
    let image_dir = arguments.image_dir.clone().unwrap_or_else(|| arguments.state_dir.join("images"));
    std::fs::create_dir_all(&image_dir)
        .with_context(|| format!("cannot make the image directory {}", image_dir.display()))?;
    let config = EngineConfig {
        hostname: host_name(),
        image_dir,
        agent_timeout: Duration::from_secs(arguments.agent_timeout),
        automated_clean: !arguments.no_automated_clean,
        cleaning: cleaning(&arguments.cleaning),
        inspection_collectors: arguments.inspection_collectors.clone(),
    };
    let pki = Pki::open_or_create(&arguments.state_dir.join("pki"))?;
    let template = arguments.media.as_deref().map(MediaTemplate::open).transpose()?.map(Arc::new);
    let address = arguments.media_listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 6388)));
    let media = Arc::new(MediaServer::bind(address, arguments.media_url.clone()).await?);
    let engine = Engine::new(config, Arc::clone(store), pki, media, template);
    let flows = engine.resume()?;
    if flows > 0 {
        tracing::info!(flows, "work that an earlier conductor began goes on");
    }
    Ok(engine)
}

fn cleaning(arguments: &CleaningArguments) -> CleaningPolicy {
    CleaningPolicy {
        erase_devices_priority: arguments.erase_devices_priority,
        erase_devices_metadata_priority: arguments.erase_devices_metadata_priority,
        erase_devices_iterations: arguments.erase_devices_iterations,
        erase_devices_zeroize: !arguments.no_erase_devices_zeroize,
        enable_ata_secure_erase: !arguments.no_ata_secure_erase,
        enable_nvme_secure_erase: !arguments.no_nvme_secure_erase,
        continue_if_disk_secure_erase_fails: arguments.continue_if_disk_secure_erase_fails,
        erase_skip_read_only: arguments.erase_skip_read_only,
        disk_erasure_concurrency: arguments.disk_erasure_concurrency,
    }
}

/// Two conductors on one store would both run its flows.
fn lock(state_dir: &Path) -> anyhow::Result<File> {
    let path = state_dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.try_lock().with_context(|| format!("another conductor works in {}", state_dir.display()))?;
    Ok(file)
}

/// Ends with the first SIGTERM or SIGINT.
pub(super) fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
