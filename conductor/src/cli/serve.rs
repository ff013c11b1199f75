//! `tacit serve`: the conductor as a process.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use super::arguments::ServeArguments;
use crate::api::{ApiState, Verbs, router};
use crate::store::Store;

/// Serves until SIGTERM or SIGINT; requests under way are finished, flows go on at the next start.
pub(super) async fn serve(arguments: ServeArguments) -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    state_directory(&arguments.state_dir)?;
    let store = Arc::new(Store::open(&arguments.state_dir.join("tacit.sqlite"))?);
    let engine = engine(&arguments, &store).await?;
    let app = router(ApiState { store, engine, public_url: None });
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("cannot listen on {}", arguments.listen))?;
    tracing::info!(address = %listener.local_addr()?, "the API is served");
    axum::serve(listener, app).with_graceful_shutdown(asked_to_stop()?).await?;
    tracing::info!("stopped");
    Ok(())
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

/// The engine with all that it needs.
async fn engine(_arguments: &ServeArguments, _store: &Arc<Store>) -> anyhow::Result<Arc<dyn Verbs>> {
    anyhow::bail!("the engine cannot be started yet")
}

/// Ends with the first SIGTERM or SIGINT.
fn asked_to_stop() -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
