//! `tacit bridge` between Ironic and the node: as a reverse proxy neither knows the other's network, as a relay both do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use tacit_tests::lab::{Lab, Process, run};
use tacit_tests::workspace;

use super::keystone;
use super::stock::{self, Access};

const PROXY: &str = "127.0.0.1:6390";
const STATUS: &str = "127.0.0.1:6391";

/// A bridge that can be killed and started again on the same state.
pub(crate) struct Bridge {
    settings: PathBuf,
    log: PathBuf,
    process: Option<Process>,
}

impl Bridge {
    /// Starts a bridge for the lab's one node: named in its settings, or discovered where Keystone knows the bridge.
    pub(crate) fn start(lab: &Lab, node: &str, access: Access) -> Result<Self> {
        let files = lab.files().join("bridge");
        fs::create_dir_all(&files).context("making the bridge's folder")?;
        let password = files.join("password");
        fs::write(&password, format!("{}\n", stock::PASSWORD)).context("writing the bridge's password")?;
        let (auth, nodes) = match access {
            // Which nodes wait it cannot know.
            Access::Password => (
                String::new(),
                format!(
                    "[[node]]\nuuid = '{node}'\naddress = '{}'\nmacs = ['{}']\nsystem_uuid = '{}'\n",
                    lab.server.address, lab.server.mac, lab.server.uuid,
                ),
            ),
            Access::Keystone => (
                format!(
                    "auth = {{ type = 'keystone', auth_url = '{}/v3', username = '{}', password_file = '{}', \
                     project = 'service' }}\n",
                    keystone::URL,
                    keystone::BRIDGE,
                    password.display(),
                ),
                "[discovery]\naddress_field = 'driver_info/agent_address'\n".to_owned(),
            ),
        };
        let settings = files.join("bridge.toml");
        fs::write(
            &settings,
            format!(
                "state_dir = '{state}'\n\
                 status_listen = '{STATUS}'\n\
                 [ironic]\nurl = '{ironic}'\n{auth}\
                 [proxy]\nlisten = '{PROXY}'\npublic_url = 'https://{PROXY}'\n\
                 [defaults]\nmode = 'proxy'\n{nodes}",
                state = files.join("state").display(),
                ironic = stock::URL,
            ),
        )
        .context("writing the bridge's settings")?;
        let mut bridge = Self { settings, log: files.join("bridge.log"), process: None };
        bridge.run(lab)?;
        Ok(bridge)
    }

    /// Leads nodes as a relay from its next start on.
    pub(crate) fn choose_relay(&self) -> Result<()> {
        let settings = fs::read_to_string(&self.settings).context("reading the bridge's settings")?;
        fs::write(&self.settings, settings.replace("mode = 'proxy'", "mode = 'relay'"))
            .context("writing the bridge's settings")
    }

    /// Starts the killed bridge again.
    pub(crate) fn run(&mut self, lab: &Lab) -> Result<()> {
        let mut command = lab.network().command(workspace::tacit()?);
        command.arg("bridge").arg("--config").arg(&self.settings);
        let mut process = lab.spawn("tacit bridge", command, &self.log)?;
        let network = lab.network().clone();
        process.wait_until(Duration::from_secs(30), || {
            let mut curl = network.command("curl");
            // Any answer will do: healthy is another question.
            curl.args(["-s", "-o", "/dev/null", "-m", "5", &format!("http://{STATUS}/")]);
            run(curl).is_ok()
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// SIGKILL: no chance to save anything.
    pub(crate) fn kill9(&mut self) -> Result<()> {
        self.process.take().map_or(Ok(()), |mut process| process.end_with(Signal::SIGKILL))
    }

    /// The certificate of its authority, for the ramdisk; as PEM.
    pub(crate) fn authority(&self) -> Result<String> {
        let mut command = Command::new(workspace::tacit()?);
        command.args(["bridge", "ca", "--config"]).arg(&self.settings);
        run(command).context("asking for the bridge's authority")
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }
}
