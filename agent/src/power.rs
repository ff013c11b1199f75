//! The end of a ramdisk: power off, or restart into what was deployed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nix::sys::reboot::{RebootMode, reboot};

/// How a machine is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    PowerOff,
    Reboot,
}

/// Whether this process may end its machine.
#[derive(Debug)]
pub enum Power {
    Machine,
    /// Remembers only what was asked for.
    Recorded(Mutex<Vec<Leave>>),
}

/// Time for the answer to reach the caller before the machine is gone.
const GRACE: Duration = Duration::from_secs(1);

impl Power {
    pub fn recorded() -> Self {
        Self::Recorded(Mutex::default())
    }

    /// Leaves the machine, a moment after this returned. Everything that was written is on its disk before.
    pub fn leave(&self, how: Leave) -> std::io::Result<()> {
        tracing::info!("leaving the machine: {how:?}");
        nix::unistd::sync();
        match self {
            Self::Machine => {
                std::thread::Builder::new().name("leave".into()).spawn(move || {
                    std::thread::sleep(GRACE);
                    let mode = match how {
                        Leave::PowerOff => RebootMode::RB_POWER_OFF,
                        Leave::Reboot => RebootMode::RB_AUTOBOOT,
                    };
                    let Err(error) = reboot(mode);
                    tracing::error!("the kernel refused {how:?}: {error}; asking SysRq");
                    let key = if how == Leave::PowerOff { "o" } else { "b" };
                    if let Err(error) = std::fs::write("/proc/sysrq-trigger", key) {
                        tracing::error!("SysRq refused, too: {error}");
                    }
                })?;
            }
            Self::Recorded(wishes) => wishes.lock().unwrap_or_else(PoisonError::into_inner).push(how),
        }
        Ok(())
    }

    /// What was asked for so far, where nothing is carried out.
    pub fn wishes(&self) -> Vec<Leave> {
        match self {
            Self::Machine => Vec::new(),
            Self::Recorded(wishes) => wishes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}
