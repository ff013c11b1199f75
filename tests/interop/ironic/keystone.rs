//! Stock Keystone for an Ironic that asks it who calls: an administrator, and the bridge as a service.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use tacit_tests::lab::{Lab, Network, Process, run};

use super::stock::{self, PASSWORD};

pub(crate) const URL: &str = "http://127.0.0.1:5000";
pub(crate) const ADMINISTRATOR: &str = "admin";
/// The bridge's user, with the role `service` in the project `service`.
pub(crate) const BRIDGE: &str = "bridge";

/// One process, one request at a time: as much as the tests ask.
const SERVER: &str = "from wsgiref.simple_server import make_server
from keystone.wsgi.api import application
make_server('127.0.0.1', 5000, application).serve_forever()";

/// A running Keystone. Its tokens last an hour.
pub(crate) struct Keystone {
    _service: Process,
}

impl Keystone {
    pub(crate) fn start(lab: &Lab) -> Result<Self> {
        let files = lab.files().join("keystone");
        fs::create_dir_all(&files).context("making Keystone's folder")?;
        let settings = files.join("keystone.conf");
        let folder = files.display();
        let text = format!(
            "[DEFAULT]\nlog_file = {folder}/keystone.log\n[database]\nconnection = sqlite:///{folder}/keystone.sqlite\n\
             [fernet_tokens]\nkey_repository = {folder}/fernet\n[credential]\nkey_repository = {folder}/credential\n"
        );
        fs::write(&settings, text).context("writing Keystone's settings")?;
        for order in [
            "db_sync",
            "fernet_setup --keystone-user root --keystone-group root",
            "credential_setup --keystone-user root --keystone-group root",
        ] {
            manage(&settings, order.split(' '))?;
        }
        for (user, project, role) in
            [(ADMINISTRATOR, ADMINISTRATOR, ADMINISTRATOR), (BRIDGE, "service", "service")]
        {
            let order = format!(
                "bootstrap --bootstrap-username {user} --bootstrap-password {PASSWORD} --bootstrap-project-name {project} \
                 --bootstrap-role-name {role} --bootstrap-public-url {URL}/v3/ --bootstrap-internal-url {URL}/v3/ \
                 --bootstrap-region-id lab"
            );
            manage(&settings, order.split(' '))?;
        }
        let mut command = lab.network().command(stock::program("python")?);
        command.args(["-c", SERVER]).env("OS_KEYSTONE_CONFIG_FILES", &settings);
        let mut service = lab.spawn("keystone", command, &files.join("keystone.out"))?;
        let network = lab.network().clone();
        service.wait_until(Duration::from_secs(60), || stock::answers(&network, &format!("{URL}/v3")))?;
        Ok(Self { _service: service })
    }

    /// A token with which the administrator may do everything.
    pub(crate) fn token(network: &Network) -> Result<String> {
        let request = serde_json::json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": ADMINISTRATOR, "domain": {"id": "default"}, "password": PASSWORD,
            }}},
            "scope": {"system": {"all": true}},
        }});
        let mut curl = network.command("curl");
        curl.args(["-sSf", "-o", "/dev/null", "-D", "-", "-H", "Content-Type: application/json"]);
        curl.args(["-d", &request.to_string(), &format!("{URL}/v3/auth/tokens")]);
        let headers = run(curl).context("asking Keystone for a token")?;
        let token = headers.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-subject-token").then(|| value.trim().to_owned())
        });
        token.context("Keystone gives no token")
    }
}

fn manage<'a>(settings: &Path, order: impl Iterator<Item = &'a str>) -> Result<()> {
    let program: PathBuf = stock::program("keystone-manage")?;
    let mut command = std::process::Command::new(program);
    command.arg("--config-file").arg(settings).args(order);
    run(command).context("setting up Keystone").map(drop)
}
