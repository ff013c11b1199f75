//! Stock Ironic from the Python Package Index in the lab's network, and the web server for the media that it makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tacit_tests::lab::{HOST_ADDRESS, Lab, Network, Process, run};
use tacit_tests::workspace;

use super::keystone::{self, Keystone};

pub(crate) const URL: &str = "http://127.0.0.1:6385";
pub(crate) const WWW_PORT: u16 = 8089;
const USER: &str = "operator";
const SETTINGS: &str = include_str!("ironic.conf");
/// How long a node may be locked by what Ironic does of itself.
const LOCK_PATIENCE: Duration = Duration::from_secs(60);

/// The only user's in [`Access::Password`], and everybody's at Keystone.
pub(crate) const PASSWORD: &str = "ironics-password";

/// Whom Ironic's API lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Who knows the password: `http_basic`. The bridge does not.
    Password,
    /// Whom Keystone knows: the bridge is a service.
    Keystone,
}

/// A running Ironic with one node.
pub(crate) struct Ironic {
    network: Network,
    files: PathBuf,
    /// Header by which the tests are let in.
    credentials: String,
    pub(crate) node: String,
    _www: Process,
    _service: Process,
    _keystone: Option<Keystone>,
}

impl Ironic {
    /// Starts Ironic with an empty database, and Keystone where it is to be asked.
    pub(crate) fn start(lab: &Lab, access: Access) -> Result<Self> {
        let files = lab.files().join("ironic");
        for folder in ["state/lock", "tmp", "www", "masters", "tftp", "images", "certificates", "deploy-logs"]
        {
            fs::create_dir_all(files.join(folder)).context("making Ironic's folders")?;
        }
        let keystone = (access == Access::Keystone).then(|| Keystone::start(lab)).transpose()?;
        let (auth, credentials) = match access {
            Access::Password => {
                let users = files.join("users");
                fs::write(&users, users_file()?).context("writing Ironic's users")?;
                let auth =
                    format!("auth_strategy = http_basic\nhttp_basic_auth_user_file = {}", users.display());
                let known = BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"));
                (auth, format!("Authorization: Basic {known}"))
            }
            Access::Keystone => {
                let user = keystone::ADMINISTRATOR;
                let auth = format!(
                    "auth_strategy = keystone\nrbac_service_role_elevated_access = true\n[keystone_authtoken]\n\
                     auth_type = password\nauth_url = {}\nusername = {user}\npassword = {PASSWORD}\n\
                     project_name = {user}\nuser_domain_id = default\nproject_domain_id = default\n[DEFAULT]",
                    keystone::URL,
                );
                (auth, format!("X-Auth-Token: {}", Keystone::token(lab.network())?))
            }
        };
        let settings = SETTINGS
            .replace("{auth}", &auth)
            .replace("{files}", &files.to_string_lossy())
            .replace("{host}", HOST_ADDRESS)
            .replace("{www_url}", &www_url());
        let settings_file = files.join("ironic.conf");
        fs::write(&settings_file, settings).context("writing Ironic's settings")?;
        fs::copy(workspace::interop("esp.img")?, files.join("www/esp.img"))
            .context("copying the boot loader")?;

        let mut schema = Command::new(program("ironic-dbsync")?);
        schema.arg("--config-file").arg(&settings_file).arg("create_schema");
        run(schema).context("making Ironic's database")?;
        let mut command = lab.network().command(workspace::python_tool("python")?);
        command.args(["-m", "http.server", "--bind", HOST_ADDRESS, "--directory"]).arg(files.join("www"));
        command.arg(WWW_PORT.to_string());
        let mut www = lab.spawn("http.server", command, &files.join("www.log"))?;
        let network = lab.network().clone();
        www.wait_until(Duration::from_secs(20), || answers(&network, &www_url()))?;

        let mut command = lab.network().command(program("ironic")?);
        command.arg("--config-file").arg(&settings_file);
        // Its tools lie beside it, mkisofs where Debian has it.
        let path = std::env::var("PATH").unwrap_or_default();
        let own = program("ironic")?;
        let own = own.parent().context("a program lies in a folder")?;
        command.env("PATH", format!("{}:{path}:/usr/sbin:/sbin", own.display()));
        let mut service = lab.spawn("ironic", command, &files.join("ironic.out"))?;
        service.wait_until(Duration::from_secs(90), || {
            let mut curl = network.command("curl");
            curl.args(["-sf", "-H", &credentials, "-o", "/dev/null", "-m", "5"]);
            curl.arg(format!("{URL}/v1/drivers/redfish"));
            run(curl).is_ok()
        })?;
        let node = String::new();
        Ok(Self { network, files, credentials, node, _www: www, _service: service, _keystone: keystone })
    }

    /// What Ironic serves to BMCs and to itself.
    pub(crate) fn www(&self) -> PathBuf {
        self.files.join("www")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.files.join("ironic.log")
    }

    /// Bundles of the agent's logs.
    pub(crate) fn deploy_logs(&self) -> PathBuf {
        self.files.join("deploy-logs")
    }

    /// The lab's server as a node of Ironic, with the given files of `www` as its ramdisk.
    pub(crate) fn enrol(&mut self, lab: &Lab, uuid: &str, kernel: &str, ramdisk: &str) -> Result<()> {
        let mut driver_info: serde_json::Map<String, Value> =
            lab.bmc.driver_info().into_iter().map(|(key, value)| (key.to_owned(), json!(value))).collect();
        for purpose in ["deploy", "rescue"] {
            driver_info.insert(format!("{purpose}_kernel"), json!(format!("{}/{kernel}", www_url())));
            driver_info.insert(format!("{purpose}_ramdisk"), json!(format!("{}/{ramdisk}", www_url())));
        }
        driver_info.insert("agent_address".to_owned(), json!(lab.server.address));
        self.node = uuid.to_owned();
        self.call(
            "POST",
            "/v1/nodes",
            Some(&json!({
                "uuid": uuid, "name": "node-1", "driver": "redfish", "driver_info": driver_info,
                "network_data": lab.server.network_data(),
            })),
        )?;
        self.call("POST", "/v1/ports", Some(&json!({"address": lab.server.mac, "node_uuid": uuid}))).map(drop)
    }

    /// Sets fields of the node.
    pub(crate) fn set(&self, fields: &[(&str, Value)]) -> Result<()> {
        let patch: Vec<Value> = fields
            .iter()
            .map(|(path, value)| json!({"op": "add", "path": format!("/{path}"), "value": value}))
            .collect();
        self.call("PATCH", &self.node_path(""), Some(&json!(patch))).map(drop)
    }

    /// Has Ironic boot the node by iPXE; `parameters` are the kernel's. An inspection by virtual media has found no
    /// interface that boots by network, and said so of the ports.
    pub(crate) fn boot_by_network(&self, parameters: &str) -> Result<()> {
        // Ports of a node that is ready for tenants are changed in maintenance only.
        self.call("PUT", &self.node_path("/maintenance"), Some(&json!({})))?;
        let ports = self.call("GET", &self.node_path("/ports"), None)?;
        for port in ports["ports"].as_array().context("the node has no ports")? {
            let path = format!("/v1/ports/{}", port["uuid"].as_str().context("a port has no UUID")?);
            let patch = json!([{"op": "replace", "path": "/pxe_enabled", "value": true}]);
            self.call("PATCH", &path, Some(&patch))?;
        }
        self.call("DELETE", &self.node_path("/maintenance"), None)?;
        self.set(&[
            ("boot_interface", json!("ipxe")),
            ("driver_info/kernel_append_params", json!(parameters)),
        ])
    }

    /// Asks for another provision state; `more` is laid beside the target.
    pub(crate) fn provision(&self, target: &str, more: Value) -> Result<()> {
        let mut body = json!({"target": target});
        let more = more.as_object().cloned().unwrap_or_default();
        body.as_object_mut().context("an object was made above")?.extend(more);
        self.call("PUT", &self.node_path("/states/provision"), Some(&body)).map(drop)
    }

    /// Waits for a state. Any other state of failure, and the end of patience, is an error with Ironic's own words.
    pub(crate) fn wait_for(&self, wanted: &str, patience: Duration) -> Result<Value> {
        let deadline = Instant::now() + patience;
        loop {
            let node = self.node()?;
            let state = node["provision_state"].as_str().unwrap_or_default();
            if state == wanted {
                return Ok(node);
            }
            ensure!(!state.ends_with("failed") && state != "error", "{state}: {}", node["last_error"]);
            ensure!(Instant::now() < deadline, "still {state} after {patience:?}");
            std::thread::sleep(Duration::from_secs(1));
        }
    }

    /// Waits until something that Ironic noted of the node says one of these: `last_error` is soon forgotten.
    pub(crate) fn wait_for_note(&self, wanted: &[&str], patience: Duration) -> Result<String> {
        let deadline = Instant::now() + patience;
        loop {
            let notes = self.call("GET", &self.node_path("/history?detail=true"), None)?;
            let mut events =
                notes["history"].as_array().into_iter().flatten().filter_map(|note| note["event"].as_str());
            if let Some(event) = events.find(|event| wanted.iter().any(|wanted| event.contains(wanted))) {
                return Ok(event.to_owned());
            }
            ensure!(Instant::now() < deadline, "none of {wanted:?} is noted after {patience:?}: {notes:#}");
            std::thread::sleep(Duration::from_millis(500));
        }
    }

    /// The node's record.
    pub(crate) fn node(&self) -> Result<Value> {
        self.call("GET", &self.node_path(""), None)
    }

    pub(crate) fn inventory(&self) -> Result<Value> {
        self.call("GET", &self.node_path("/inventory"), None)
    }

    fn node_path(&self, rest: &str) -> String {
        format!("/v1/nodes/{}{rest}", self.node)
    }

    /// One request of the API. A locked node is asked again for a minute, and so is a locked database.
    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let mut curl = self.network.command("curl");
            curl.args(["-sS", "-H", &self.credentials, "-m", "60", "-X", method, "-w", "\n%{http_code}"]);
            curl.args([
                "-H",
                "X-OpenStack-Ironic-API-Version: latest",
                "-H",
                "Content-Type: application/json",
            ]);
            if let Some(body) = body {
                curl.args(["-d", &body.to_string()]);
            }
            curl.arg(format!("{URL}{path}"));
            let printed = run(curl)?;
            let (answer, status) = printed.rsplit_once('\n').context("curl printed no status")?;
            match status {
                "409" | "500" | "503" if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(500));
                }
                _ if !status.starts_with('2') => bail!("{method} {path}: {status}: {answer}"),
                _ if answer.is_empty() => return Ok(Value::Null),
                _ => {
                    return serde_json::from_str(answer)
                        .with_context(|| format!("{method} {path} is no JSON: {answer}"));
                }
            }
        }
    }
}

/// The one user of the API, as `http_basic_auth_user_file` has it.
fn users_file() -> Result<String> {
    let mut hash = Command::new(program("python")?);
    hash.args([
        "-c",
        "import bcrypt, sys; print(bcrypt.hashpw(sys.argv[1].encode(), bcrypt.gensalt(4)).decode())",
    ]);
    hash.arg(PASSWORD);
    Ok(format!("{USER}:{}", run(hash).context("hashing Ironic's password")?.replace("$2b$", "$2y$")))
}

pub(crate) fn www_url() -> String {
    format!("http://{HOST_ADDRESS}:{WWW_PORT}")
}

pub(crate) fn program(name: &str) -> Result<PathBuf> {
    workspace::interop(&Path::new("ironic/bin").join(name).to_string_lossy())
}

pub(crate) fn answers(network: &Network, url: &str) -> bool {
    let mut curl = network.command("curl");
    curl.args(["-sf", "-o", "/dev/null", "-m", "5", url]);
    run(curl).is_ok()
}
