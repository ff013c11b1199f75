//! The machine itself: power-on reads the node's configuration off the medium, as firmware and EFI stub do, and
//! starts the agent on it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use tacit_protocol::medium::{NodeConfig, REGION_SIZE};

/// Where the region lies in the desk's stand-in for a boot ISO.
pub(super) const REGION_OFFSET: usize = 1 << 20;

/// What comes up when the machine is powered on.
#[derive(Clone, Debug, PartialEq)]
pub enum Behaviour {
    /// The agent, with the configuration of the medium.
    Agent,
    /// Nothing: no agent ever answers.
    Dead,
    /// An agent with another node's configuration: the wrong machine at the right address.
    Impostor(Box<NodeConfig>),
}

/// Agent process and power button.
pub struct Machine {
    pub(super) address: SocketAddr,
    program: PathBuf,
    disks: Vec<PathBuf>,
    directory: PathBuf,
    state: Mutex<State>,
}

struct State {
    on: bool,
    agent: Option<Child>,
    behaviour: Behaviour,
    power_ons: usize,
    config: Option<NodeConfig>,
    medium: Option<String>,
}

impl Machine {
    pub(super) fn new(program: PathBuf, disks: Vec<PathBuf>, directory: &Path, address: SocketAddr) -> Self {
        let state = State {
            on: false,
            agent: None,
            behaviour: Behaviour::Agent,
            power_ons: 0,
            config: None,
            medium: None,
        };
        Self { address, program, disks, directory: directory.to_owned(), state: Mutex::new(state) }
    }

    pub fn is_on(&self) -> bool {
        self.state.lock().expect("no holder of the lock panics").on
    }

    /// How often the machine was powered on.
    pub fn power_ons(&self) -> usize {
        self.state.lock().expect("no holder of the lock panics").power_ons
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().expect("no holder of the lock panics").behaviour = behaviour;
    }

    /// The configuration that the medium carried at the last boot.
    pub fn config(&self) -> Option<NodeConfig> {
        self.state.lock().expect("no holder of the lock panics").config.clone()
    }

    /// URL of the medium that was inserted at the last power-on.
    pub fn medium(&self) -> Option<String> {
        self.state.lock().expect("no holder of the lock panics").medium.clone()
    }

    /// Ends the agent as the kernel's memory killer would.
    pub fn kill_agent(&self) -> Result<()> {
        let mut state = self.state.lock().expect("no holder of the lock panics");
        let agent = state.agent.as_mut().context("no agent runs")?;
        agent.kill()?;
        agent.wait()?;
        Ok(())
    }

    /// Starts the agent again, as PID 1 does when it died: same boot, same state directory.
    pub fn restart_agent(&self) -> Result<()> {
        let mut state = self.state.lock().expect("no holder of the lock panics");
        state.agent = Some(self.spawn()?);
        Ok(())
    }

    /// The most memory that the agent had resident so far, in bytes; `None` when none runs.
    pub fn agent_peak_bytes(&self) -> Option<u64> {
        let id = self.state.lock().expect("no holder of the lock panics").agent.as_ref()?.id();
        memory(id, "VmHWM:").ok()
    }

    pub(super) async fn power_on(&self, medium: Option<&str>) -> Result<()> {
        let behaviour = {
            let mut state = self.state.lock().expect("no holder of the lock panics");
            if state.on {
                return Ok(());
            }
            state.on = true;
            state.power_ons += 1;
            state.medium = medium.map(str::to_owned);
            state.behaviour.clone()
        };
        let config = match (behaviour, medium) {
            (Behaviour::Dead, _) | (_, None) => return Ok(()),
            (Behaviour::Impostor(config), _) => *config,
            (Behaviour::Agent, Some(url)) => read_medium(url).await?,
        };
        std::fs::write(self.config_file(), serde_json::to_vec(&config)?)?;
        // A new boot has an empty /run.
        let run = self.directory.join("run");
        if run.exists() {
            std::fs::remove_dir_all(&run)?;
        }
        let mut state = self.state.lock().expect("no holder of the lock panics");
        state.config = Some(config);
        state.agent = Some(self.spawn()?);
        Ok(())
    }

    pub(super) fn power_off(&self) {
        let mut state = self.state.lock().expect("no holder of the lock panics");
        state.on = false;
        if let Some(mut agent) = state.agent.take() {
            // Killing a process that has ended already is no fault.
            if agent.kill().is_ok() {
                agent.wait().expect("a child can be waited for");
            }
        }
    }

    fn config_file(&self) -> PathBuf {
        self.directory.join("node.json")
    }

    fn spawn(&self) -> Result<Child> {
        let log =
            std::fs::OpenOptions::new().create(true).append(true).open(self.directory.join("agent.log"))?;
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--config").arg(self.config_file());
        command.arg("--listen").arg(self.address.to_string());
        command.arg("--state-dir").arg(self.directory.join("run")).arg("--no-power");
        for disk in &self.disks {
            command.arg("--disk").arg(disk);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().with_context(|| format!("{} does not start", self.program.display()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
    }
}

/// A line of `/proc/PID/status`, in bytes.
pub(super) fn memory(process: u32, line: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = status.lines().find_map(|text| text.strip_prefix(line)).context("no such line")?;
    let kib: u64 = value.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

async fn read_medium(url: &str) -> Result<NodeConfig> {
    let range = format!("bytes={REGION_OFFSET}-{}", REGION_OFFSET + REGION_SIZE - 1);
    let response =
        reqwest::Client::builder().no_proxy().build()?.get(url).header("range", range).send().await?;
    ensure!(response.status() == 206, "medium: {}", response.status());
    Ok(NodeConfig::from_region(&response.bytes().await?)?)
}
