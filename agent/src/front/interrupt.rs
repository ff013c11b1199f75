//! ^C and SIGTERM: the first asks for a clean stop, the second one leaves. A terminal that hung up asks, too.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result};
use tokio::signal::unix::{SignalKind, signal};

use super::Ending;
use super::output::piece;

/// Set when somebody wants to stop.
///
/// # Errors
///
/// When the kernel does not let signals be caught.
pub(super) fn watch() -> Result<Arc<AtomicBool>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context("cannot watch for ^C")?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt()).context("cannot watch for ^C")?,
            signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?,
            // nohup(1) means that the loss of the terminal is nothing to stop for.
            (!is_hangup_ignored())
                .then(|| signal(SignalKind::hangup()))
                .transpose()
                .context("cannot watch for SIGHUP")?,
        )
    };
    let wanted = Arc::new(AtomicBool::new(false));
    let told = wanted.clone();
    thread::spawn(move || {
        runtime.block_on(async {
            let mut asked = false;
            loop {
                let hung_up = tokio::select! {
                    _ = interrupt.recv() => false,
                    _ = terminate.recv() => false,
                    Some(Some(())) = async { Some(hangup.as_mut()?.recv().await) } => true,
                };
                told.store(true, Ordering::SeqCst);
                if hung_up {
                    // The kernel and the shell each send one, and a session that ends SIGTERM beside them: none of these
                    // is somebody who has lost patience.
                    continue;
                }
                if asked {
                    piece("left at once: nothing is known of the devices\n");
                    std::process::exit(Ending::Cancelled as i32);
                }
                asked = true;
                piece("stopping; once more leaves at once\n");
            }
        });
    });
    Ok(wanted)
}

/// Whether this process was started with SIGHUP ignored: the first bit of the mask (proc(5), `SigIgn`).
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}
