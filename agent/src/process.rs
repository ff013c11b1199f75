//! Facts about this process and this boot.

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::clock::{unix_time, uptime};

/// Environment variable by which the init process tells its own start, in seconds of uptime.
pub const STARTED_UPTIME_VARIABLE: &str = "TACIT_STARTED_UPTIME";

/// Environment variable by which the init process names the file that it makes when the drivers of all devices that
/// were there are loaded.
pub const DEVICES_READY_VARIABLE: &str = "TACIT_DEVICES_READY";

/// How long a driver may hold up commands. Host adapters with many disks take tens of seconds.
const DEVICES_PATIENCE: Duration = Duration::from_secs(120);

/// Waits until the machine's devices have their drivers. The agent answers before that; commands look at devices.
pub fn wait_for_devices() {
    let Some(ready) = std::env::var_os(DEVICES_READY_VARIABLE).map(PathBuf::from) else { return };
    let begun = Instant::now();
    while !ready.exists() {
        if begun.elapsed() > DEVICES_PATIENCE {
            tracing::warn!("drivers are still being loaded after {} s", DEVICES_PATIENCE.as_secs());
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// `/proc/sys/kernel/random/boot_id`.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| "unknown".into(), |id| id.trim().into())
}

/// Resident memory in bytes, now and at its highest.
pub fn resident_bytes() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
            .map_or(0, |kib| kib * 1024)
    };
    (field("VmRSS:"), field("VmHWM:"))
}

/// When what happened in the life of this process.
#[derive(Debug)]
pub struct Timeline {
    /// Unix time at which serving began.
    pub started_at: f64,
    /// Seconds from the start as PID 1, or of this process, to listening.
    pub startup_seconds: f64,
    first_answer: OnceLock<f64>,
}

impl Timeline {
    /// To be called when the agent listens; `process_start` is the uptime at which this process began.
    pub fn listening(process_start: f64) -> Self {
        let start = std::env::var(STARTED_UPTIME_VARIABLE)
            .ok()
            .and_then(|value| value.parse::<f64>().ok())
            .unwrap_or(process_start);
        Self {
            started_at: unix_time(),
            startup_seconds: (uptime() - start).max(0.0),
            first_answer: OnceLock::new(),
        }
    }

    /// Notes that a request was answered.
    pub fn answered(&self) {
        self.first_answer.get_or_init(|| {
            let at = uptime();
            tracing::info!("first request answered {at:.2} s after the kernel started");
            at
        });
    }

    /// Uptime of the first answered request.
    pub fn first_answer(&self) -> Option<f64> {
        self.first_answer.get().copied()
    }
}
