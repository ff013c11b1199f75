//! ^C and SIGTERM: the first asks for a clean stop, the second one leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::Ending;

/// Set when somebody wants to stop.
///
/// # Errors
///
/// When the kernel does not let signals be caught.
pub(super) fn watch() -> Result<Arc<AtomicBool>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context("cannot watch for ^C")?;
    let (mut interrupt, mut terminate) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt()).context("cannot watch for ^C")?,
            signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
        )
    };
    let wanted = Arc::new(AtomicBool::new(false));
    let told = wanted.clone();
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if told.swap(true, Ordering::SeqCst) {
                    eprintln!("left at once: nothing is known of the devices");
                    std::process::exit(Ending::Cancelled as i32);
                }
                eprintln!("stopping; once more leaves at once");
            }
        });
    });
    Ok(wanted)
}
