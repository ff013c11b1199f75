//! Processes of the lab: in its namespace, with their output in a file, killed when dropped or when we die.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::record::Record;

/// A long-running process.
#[derive(Debug)]
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `log`, in a process group of its own so that ^C does not reach it
    /// before we can end things in order.
    pub(super) fn spawn(
        record: &Record,
        name: &'static str,
        mut command: Command,
        log: &Path,
    ) -> Result<Self> {
        let output = File::options().create(true).append(true).open(log);
        let output = output.with_context(|| format!("opening {}", log.display()))?;
        let errors = output.try_clone().context("duplicating a file")?;
        command.stdin(Stdio::null()).stdout(output).stderr(errors).process_group(0);
        let child = command.spawn().with_context(|| format!("starting {name}"))?;
        record.process(name, child.id())?;
        Ok(Self { name, child, log: log.to_owned() })
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end.
    pub fn end_with(&mut self, signal: Signal) -> Result<()> {
        if self.child.try_wait().context("asking for a process")?.is_none() {
            kill(Pid::from_raw(self.child.id().cast_signed()), signal)
                .with_context(|| format!("killing {}", self.name))?;
        }
        self.child.wait().with_context(|| format!("waiting for the end of {}", self.name))?;
        Ok(())
    }

    /// Waits until `ready` says yes. Fails with the end of the log when the process ends before or the time is over.
    pub fn wait_until(&mut self, timeout: Duration, mut ready: impl FnMut() -> bool) -> Result<()> {
        let deadline = Instant::now() + timeout;
        while !ready() {
            if let Some(status) = self.child.try_wait().context("asking for a process")? {
                bail!("{} ended with {status}:\n{}", self.name, tail(&self.log, 30));
            }
            if Instant::now() > deadline {
                bail!("{} not ready after {timeout:?}:\n{}", self.name, tail(&self.log, 30));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            eprintln!("lab: ending {}: {error}", self.name);
        }
    }
}

/// The last lines of a file, for messages.
pub fn tail(path: &Path, lines: usize) -> String {
    let text =
        std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Runs a command to its end. Fails with what it printed when it does not succeed.
pub fn run(mut command: Command) -> Result<String> {
    let line =
        format!("{} {:?}", command.get_program().to_string_lossy(), command.get_args().collect::<Vec<_>>());
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("running {line}"))?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{line}: {}\n{printed}{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(printed)
}
