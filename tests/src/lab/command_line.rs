//! The two command lines of an operator: `tacit` and OpenStack's `baremetal`, run inside the lab's network.

use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::network::Network;
use super::process::run;
use crate::workspace;

#[derive(Clone, Debug)]
pub struct CommandLine {
    network: Network,
    api: String,
}

impl CommandLine {
    pub(super) fn new(network: Network, api: &str) -> Self {
        Self { network, api: api.to_owned() }
    }

    /// `tacit …`; its output.
    pub fn tacit(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.tacit_command()?;
        command.args(arguments);
        run(command)
    }

    /// `tacit --json …`.
    pub fn tacit_json(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = self.tacit_command()?;
        command.args(arguments).arg("--json");
        let text = run(command)?;
        serde_json::from_str(&text).with_context(|| format!("tacit {arguments:?} printed no JSON: {text}"))
    }

    /// `tacit …` with our own terminal, for people who watch.
    pub fn tacit_shown(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.tacit_command()?;
        let status = command.args(arguments).stdin(Stdio::null()).status().context("running tacit")?;
        anyhow::ensure!(status.success(), "tacit {arguments:?}: {status}");
        Ok(())
    }

    /// `baremetal … -f json`, OpenStack's own client.
    pub fn baremetal(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.baremetal_text(&[arguments, &["-f", "json"]].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("baremetal {arguments:?} printed no JSON: {text}"))
    }

    /// `baremetal …` for commands that print nothing.
    pub fn baremetal_text(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.network.command(workspace::python_tool("baremetal")?);
        command.args(arguments);
        command.env("OS_AUTH_TYPE", "none").env("OS_ENDPOINT", format!("http://{}", self.api));
        run(command)
    }

    fn tacit_command(&self) -> Result<Command> {
        Ok(self.network.command(workspace::tacit()?))
    }
}
