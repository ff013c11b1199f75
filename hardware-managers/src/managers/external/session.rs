//! A process and all that comes of it.

use std::fs;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

/// Environment variable by which descendants are known that have left the session.
const VARIABLE: &str = "TACIT_MANAGER_RUN";
/// Looks for descendants: each kills what the one before could not see yet.
const ROUNDS: u32 = 50;

/// A child that leads a session of its own. When this is dropped, all of it is dead and reaped.
pub(super) struct Session {
    child: Child,
    pid: Pid,
    marker: String,
    reaped: bool,
}

impl Session {
    /// Name and value of the variable that a child has to be started with: another value each time.
    pub(super) fn marker() -> (&'static str, String) {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        (VARIABLE, format!("{}-{count}", std::process::id()))
    }

    pub(super) fn of(child: Child, marker: (&str, String)) -> Self {
        let id = child.id();
        // The agent is what must survive when memory is short.
        if let Err(error) = fs::write(format!("/proc/{id}/oom_score_adj"), "1000") {
            tracing::debug!("process {id} may outlive others when memory is short: {error}");
        }
        let pid = Pid::from_raw(i32::try_from(id).expect("the kernel's process ids are positive i32"));
        Self { child, pid, marker: format!("{}={}", marker.0, marker.1), reaped: false }
    }

    /// Whether the child has ended. It stays a zombie, so that its number is nobody else's.
    pub(super) fn has_exited(&self) -> io::Result<bool> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        match waitid(Id::Pid(self.pid), flags) {
            Ok(status) => Ok(status != WaitStatus::StillAlive),
            Err(Errno::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// SIGTERM to the child's group.
    pub(super) fn terminate(&self) {
        self.signal_group(Signal::SIGTERM);
    }

    /// Kills the rest, and takes the child's status.
    pub(super) fn end(mut self) -> io::Result<ExitStatus> {
        self.reap()
    }

    fn reap(&mut self) -> io::Result<ExitStatus> {
        self.signal_group(Signal::SIGKILL);
        self.kill_others();
        self.reaped = true;
        self.child.wait()
    }

    fn signal_group(&self, signal: Signal) {
        match killpg(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!("process group {} gets no {signal}: {error}", self.pid),
        }
    }

    /// Kills every process of the session and every one that has the marker, but for the child itself.
    pub(super) fn kill_others(&self) {
        for _ in 0..ROUNDS {
            let mut alive = false;
            for pid in processes().filter(|pid| *pid != self.pid && self.owns(*pid)) {
                alive = true;
                match kill(pid, Signal::SIGKILL) {
                    Ok(()) | Err(Errno::ESRCH) => {}
                    Err(error) => tracing::warn!("process {pid} of a hardware manager stays: {error}"),
                }
            }
            if !alive {
                return;
            }
            // A killed process is there until the kernel has taken it down.
            std::thread::sleep(Duration::from_millis(2));
        }
        tracing::warn!("processes of the hardware manager's session {} stay", self.pid);
    }

    fn owns(&self, pid: Pid) -> bool {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
        // proc_pid_stat(5): after the name in brackets, which may hold anything, the state and the session.
        let Some((_, fields)) = stat.rsplit_once(')') else { return false };
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next();
        let session = fields.nth(2).and_then(|text| text.parse::<i32>().ok());
        if matches!(state, Some("Z" | "X")) {
            return false;
        }
        session == Some(self.pid.as_raw())
            || fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment.split(|byte| *byte == 0).any(|entry| entry == self.marker.as_bytes())
            })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.reaped
            && let Err(error) = self.reap()
        {
            tracing::warn!("process {} cannot be reaped: {error}", self.pid);
        }
    }
}

fn processes() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw))
}
