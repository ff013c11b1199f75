//! Keeps `serve` running and reaps what nobody else waits for.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, getppid};

use super::console::say;
use super::start::DEVICES_READY;
use crate::clock::uptime;
use crate::process::{DEVICES_READY_VARIABLE, STARTED_UPTIME_VARIABLE};

/// An agent that dies sooner than this is started again only after this long.
const SHORT_LIFE: Duration = Duration::from_secs(2);

/// Runs the agent with these arguments. Never returns: a first process that ends stops the kernel.
pub(super) fn supervise(arguments: &[&OsStr], mut process_start: f64) -> ! {
    loop {
        let begun = Instant::now();
        match spawn(arguments, process_start) {
            Ok(child) => {
                let how = reap_until(child);
                say(format!("the agent ended ({how}); starting it again"));
            }
            Err(error) => say(format!("the agent cannot be started: {error}")),
        }
        std::thread::sleep(SHORT_LIFE.saturating_sub(begun.elapsed()));
        process_start = uptime();
    }
}

/// Whether this process is the agent that [`supervise`] runs: the first process starts no other program.
pub(crate) fn is_supervised() -> bool {
    getppid() == Pid::from_raw(1) && std::env::var_os(STARTED_UPTIME_VARIABLE).is_some()
}

/// Reaps orphans only; for a ramdisk that has nothing to serve.
pub(super) fn idle() -> ! {
    loop {
        match wait() {
            Ok(_) => {}
            Err(_) => std::thread::park(),
        }
    }
}

fn spawn(arguments: &[&OsStr], process_start: f64) -> std::io::Result<Pid> {
    let child = Command::new("/proc/self/exe")
        .arg0("tacit-agent")
        .args(arguments)
        .env(STARTED_UPTIME_VARIABLE, process_start.to_string())
        .env(DEVICES_READY_VARIABLE, DEVICES_READY)
        .spawn()?;
    let id = i32::try_from(child.id()).expect("the kernel's process ids are positive i32");
    Ok(Pid::from_raw(id))
}

fn reap_until(child: Pid) -> String {
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => return format!("exit {code}"),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return signal.to_string(),
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return error.to_string(),
        }
    }
}
