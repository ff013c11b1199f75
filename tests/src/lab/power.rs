//! When the server went on and off, seen from outside of everything: by the process that is the machine.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

/// A change of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PowerChange {
    pub at: SystemTime,
    pub on: bool,
}

/// Watches the pid file that libvirt keeps while the machine runs.
#[derive(Debug)]
pub struct PowerWatch {
    changes: Arc<Mutex<Vec<PowerChange>>>,
    stopped: Arc<AtomicBool>,
}

impl PowerWatch {
    pub(super) fn start(pid_file: PathBuf) -> Result<Self> {
        let watch = Self { changes: Arc::default(), stopped: Arc::default() };
        let (changes, stopped) = (Arc::clone(&watch.changes), Arc::clone(&watch.stopped));
        let follow = move || {
            let mut before: Option<String> = None;
            while !stopped.load(Ordering::Relaxed) {
                let now = std::fs::read_to_string(&pid_file).ok().filter(|pid| !pid.trim().is_empty());
                if now != before {
                    let change = PowerChange { at: SystemTime::now(), on: now.is_some() };
                    changes.lock().unwrap_or_else(PoisonError::into_inner).push(change);
                    before = now;
                }
                // The resolution of the times.
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        std::thread::Builder::new()
            .name("power".into())
            .spawn(follow)
            .context("starting the power thread")?;
        Ok(watch)
    }

    /// All changes so far, oldest first.
    pub fn changes(&self) -> Vec<PowerChange> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for PowerWatch {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
