//! The conductor under test, as an operator runs it: `tacit serve` with a state directory.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::Signal;

use super::HOST_ADDRESS;
use super::command_line::CommandLine;
use super::network::Network;
use super::process::{Process, run};
use super::record::Record;
use crate::workspace;

const API: &str = "127.0.0.1:6385";
const MEDIA_PORT: u16 = 6388;

#[derive(Debug)]
pub struct Conductor {
    network: Network,
    state: PathBuf,
    log: PathBuf,
    arguments: &'static [&'static str],
    process: Option<Process>,
}

impl Conductor {
    pub(super) fn start(
        record: &Record,
        network: &Network,
        files: &Path,
        arguments: &'static [&'static str],
    ) -> Result<Self> {
        let state = files.join("conductor");
        let mut conductor = Self {
            network: network.clone(),
            state,
            log: files.join("conductor.log"),
            arguments,
            process: None,
        };
        conductor.serve(record)?;
        Ok(conductor)
    }

    pub(super) fn serve(&mut self, record: &Record) -> Result<()> {
        let mut command = self.network.command(workspace::tacit()?);
        command.arg("serve").arg("--state-dir").arg(&self.state);
        command.args(["--listen", API]).arg("--media").arg(workspace::medium()?);
        command.args(["--media-listen", &format!("{HOST_ADDRESS}:{MEDIA_PORT}")]);
        command.args(["--media-url", &format!("http://{HOST_ADDRESS}:{MEDIA_PORT}")]);
        command.args(self.arguments);
        let mut process = Process::spawn(record, "tacit serve", command, &self.log)?;
        let network = self.network.clone();
        process.wait_until(Duration::from_secs(30), || {
            let mut curl = network.command("curl");
            curl.args(["-sf", "-o", "/dev/null", "-m", "5", &format!("http://{API}/v1/nodes")]);
            run(curl).is_ok()
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: no chance to save anything.
    pub fn kill9(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.end_with(Signal::SIGKILL),
            None => Ok(()),
        }
    }

    /// Both command lines, pointed at this conductor.
    pub fn command_line(&self) -> CommandLine {
        CommandLine::new(self.network.clone(), API)
    }

    /// What it logged, over all its lives.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Resident memory in bytes; nothing while it is not running.
    pub fn rss_bytes(&self) -> Option<u64> {
        let pid = self.process.as_ref()?.pid();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
    }
}
