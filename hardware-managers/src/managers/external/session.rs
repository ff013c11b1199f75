//! A process and all that comes of it.

use std::fs;
use std::io;
use std::process::{Child, ExitStatus};

use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::fault::Fault;
use crate::strays::{self, PATIENCE, Process};

/// A child that leads a session of its own. When this is dropped, all of it is dead and reaped, or known as strays.
pub(super) struct Session {
    child: Child,
    pid: Pid,
    mark: String,
    reaped: bool,
}

impl Session {
    /// `mark` is what the child was started with.
    pub(super) fn of(child: Child, mark: String) -> Self {
        let id = child.id();
        // The agent is what must survive when memory is short.
        if let Err(error) = fs::write(format!("/proc/{id}/oom_score_adj"), "1000") {
            tracing::debug!("process {id} may outlive others when memory is short: {error}");
        }
        let pid = Pid::from_raw(i32::try_from(id).expect("the kernel's process ids are positive i32"));
        Self { child, pid, mark, reaped: false }
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

    /// Kills what there is of it, and takes the child's status.
    ///
    /// # Errors
    ///
    /// [`Fault::Stays`] when something of it cannot be killed: nobody writes to a disk before that is gone.
    pub(super) fn end(mut self) -> Result<ExitStatus, Fault> {
        self.reap()
    }

    fn reap(&mut self) -> Result<ExitStatus, Fault> {
        self.reaped = true;
        self.signal_group(Signal::SIGKILL);
        self.kill_all()?;
        self.child.wait().map_err(Fault::Pipe)
    }

    fn signal_group(&self, signal: Signal) {
        match killpg(self.pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => tracing::warn!("process group {} gets no {signal}: {error}", self.pid),
        }
    }

    /// Kills every process of the session and every one that has the mark.
    pub(super) fn kill_all(&self) -> Result<(), Fault> {
        let left =
            strays::end_all(|| strays::descendants(self.pid.as_raw(), &self.mark), Process::kill, PATIENCE);
        if left.is_empty() {
            return Ok(());
        }
        let numbers = strays::numbers(&left);
        strays::remember(left);
        Err(Fault::Stays(numbers))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.reaped
            && let Err(fault) = self.reap()
        {
            tracing::error!("process {}: {}", self.pid, fault.chain());
        }
    }
}
