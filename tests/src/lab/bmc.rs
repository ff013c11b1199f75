//! The server's BMC: the Redfish emulator of OpenStack's sushy-tools in front of libvirt, with basic authentication.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::HOST_ADDRESS;
use super::libvirt::Libvirt;
use super::network::Network;
use super::process::{Process, run};
use super::record::Record;
use crate::workspace;

const PORT: u16 = 8000;
const USER: &str = "operator";
const PASSWORD: &str = "redfish-lab";

#[derive(Debug)]
pub struct Bmc {
    network: Network,
    system: String,
    _emulator: Process,
}

impl Bmc {
    pub(super) fn start(
        record: &Record,
        network: &Network,
        libvirt: &Libvirt,
        system_uuid: &str,
    ) -> Result<Self> {
        let directory = record.run_directory().join("bmc");
        let state = directory.join("state");
        fs::create_dir_all(&state).context("making the BMC's directory")?;
        let mut hash = Command::new(workspace::python_tool("python")?);
        hash.args([
            "-c",
            "import bcrypt,sys; print(bcrypt.hashpw(sys.argv[1].encode(), bcrypt.gensalt(5)).decode())",
        ]);
        hash.arg(PASSWORD);
        let accounts = directory.join("accounts");
        fs::write(&accounts, format!("{USER}:{}", run(hash).context("hashing the BMC's password")?))?;
        let settings = directory.join("sushy.conf");
        fs::write(
            &settings,
            format!(
                "SUSHY_EMULATOR_LISTEN_IP = '{HOST_ADDRESS}'\n\
                 SUSHY_EMULATOR_LISTEN_PORT = {PORT}\n\
                 SUSHY_EMULATOR_AUTH_FILE = '{accounts}'\n\
                 SUSHY_EMULATOR_LIBVIRT_URI = '{uri}'\n\
                 SUSHY_EMULATOR_STATE_DIR = '{state}'\n\
                 SUSHY_EMULATOR_BOOT_LOADER_MAP = {{'UEFI': {{'x86_64': '/usr/share/OVMF/OVMF_CODE_4M.fd'}}, 'Legacy': {{'x86_64': None}}}}\n\
                 SUSHY_EMULATOR_SECURE_BOOT_DISABLED_NVRAM = '/usr/share/OVMF/OVMF_VARS_4M.fd'\n\
                 SUSHY_EMULATOR_SECURE_BOOT_ENABLED_NVRAM = '/usr/share/OVMF/OVMF_VARS_4M.ms.fd'\n",
                accounts = accounts.display(),
                uri = libvirt.uri(),
                state = state.display(),
            ),
        )?;
        let mut command = network.command(workspace::python_tool("sushy-emulator")?);
        command.arg("--config").arg(&settings);
        let mut emulator = Process::spawn(record, "sushy-emulator", command, &directory.join("output"))?;
        let system = format!("/redfish/v1/Systems/{system_uuid}");
        emulator.wait_until(Duration::from_secs(60), || get(network, &system).is_ok())?;
        Ok(Self { network: network.clone(), system, _emulator: emulator })
    }

    /// The `driver_info` with which a node is created.
    pub fn driver_info(&self) -> [(&'static str, String); 5] {
        [
            ("redfish_address", format!("http://{HOST_ADDRESS}:{PORT}")),
            ("redfish_system_id", self.system.clone()),
            ("redfish_username", USER.into()),
            ("redfish_password", PASSWORD.into()),
            ("redfish_verify_ca", "false".into()),
        ]
    }

    /// The system's whole resource.
    pub fn system(&self) -> Result<Value> {
        get(&self.network, &self.system)
    }

    /// `On` or `Off`.
    pub fn power_state(&self) -> Result<String> {
        Ok(self.system()?["PowerState"].as_str().context("the system shows no PowerState")?.to_owned())
    }

    /// Powers by hand, beside any conductor, and waits until the BMC shows it.
    pub fn power(&self, on: bool) -> Result<()> {
        let (reset, wanted) = if on { ("On", "On") } else { ("ForceOff", "Off") };
        self.post("Actions/ComputerSystem.Reset", &json!({ "ResetType": reset }))?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.power_state()? != wanted {
            ensure!(Instant::now() < deadline, "the BMC does not show {wanted} 30 s after {reset}");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// Restarts the server at once, whatever it is doing.
    pub fn reset(&self) -> Result<()> {
        self.post("Actions/ComputerSystem.Reset", &json!({ "ResetType": "ForceRestart" }))
    }

    /// Puts the medium at `url` into the virtual drive and makes it the boot device.
    pub fn boot_from_medium(&self, url: &str) -> Result<()> {
        self.post(
            "VirtualMedia/Cd/Actions/VirtualMedia.InsertMedia",
            &json!({ "Image": url, "Inserted": true }),
        )?;
        self.boot_from("Cd")
    }

    /// Sets the boot device by its Redfish name: `Cd`, `Hdd`, `Pxe`.
    pub fn boot_from(&self, target: &str) -> Result<()> {
        let boot = json!({"Boot": {
            "BootSourceOverrideEnabled": "Once",
            "BootSourceOverrideTarget": target,
            "BootSourceOverrideMode": "UEFI",
        }});
        self.send("PATCH", &self.system, &boot)
    }

    /// Takes the medium out again.
    pub fn eject(&self) -> Result<()> {
        self.post("VirtualMedia/Cd/Actions/VirtualMedia.EjectMedia", &json!({}))
    }

    fn post(&self, action: &str, body: &Value) -> Result<()> {
        self.send("POST", &format!("{}/{action}", self.system), body)
    }

    fn send(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let mut curl = curl(&self.network, path);
        curl.args(["-X", method, "-H", "Content-Type: application/json", "-d", &body.to_string()]);
        run(curl).map(drop)
    }
}

fn curl(network: &Network, path: &str) -> Command {
    let mut curl = network.command("curl");
    curl.args(["-sS", "--fail-with-body", "-m", "60", "-u", &format!("{USER}:{PASSWORD}")]);
    curl.arg(format!("http://{HOST_ADDRESS}:{PORT}{path}"));
    curl
}

fn get(network: &Network, path: &str) -> Result<Value> {
    serde_json::from_str(&run(curl(network, path))?).with_context(|| format!("{path} is not JSON"))
}
