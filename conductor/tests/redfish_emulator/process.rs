//! sushy-emulator as a child process on a free port of the loopback interface.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tacit_ports::free_address;
use tempfile::TempDir;

pub(super) const SYSTEM: &str = "7b1f0c52-55a3-4c7e-9c3e-0d6a3f3e0a01";
pub(super) const OTHER_SYSTEM: &str = "7b1f0c52-55a3-4c7e-9c3e-0d6a3f3e0a02";
pub(super) const USER: &str = "admin";
pub(super) const PASSWORD: &str = "emulated secret";
/// bcrypt of [`PASSWORD`], the only form that the emulator takes: `htpasswd -nbB -C 4 admin 'emulated secret'`.
const HTPASSWD: &str = "admin:$2b$04$ymbAdapxylYSW.wZJyZFCOAgw.vA10QNPWi6q0Iz4Pn/xbg5lhuPO";
/// Python needs about a second on an idle machine.
const START_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) auth: bool,
    pub(super) tls: bool,
    pub(super) two_systems: bool,
}

pub(super) struct Emulator {
    child: Child,
    address: SocketAddr,
    options: Options,
    state: TempDir,
}

impl Emulator {
    pub(super) fn start(options: Options) -> Self {
        let program = program();
        let state = tempfile::tempdir().expect("a temporary directory");
        let address = free_address();
        write_config(state.path(), options);
        let log = std::fs::File::create(state.path().join("log")).expect("a log file");
        let mut command = Command::new(&program);
        command.args(["--fake", "--interface", "127.0.0.1", "--port"]).arg(address.port().to_string());
        command.arg("--config").arg(state.path().join("emulator.conf"));
        if options.tls {
            make_certificate(state.path());
            command.arg("--ssl-certificate").arg(state.path().join("bmc.pem"));
            command.arg("--ssl-key").arg(state.path().join("bmc.key"));
        }
        command.stdin(Stdio::null()).stderr(log.try_clone().expect("a second handle")).stdout(log);
        // Downloaded media belong to the test, too; and no proxy stands between two ends of the loopback interface.
        command.env("TMPDIR", state.path()).env("no_proxy", "*");
        let child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let mut emulator = Self { child, address, options, state };
        emulator.wait_until_it_listens();
        emulator
    }

    fn wait_until_it_listens(&mut self) {
        let start = Instant::now();
        while TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).is_err() {
            let ended = self.child.try_wait().expect("our own child");
            if ended.is_some() || start.elapsed() > START_LIMIT {
                let log = std::fs::read_to_string(self.state.path().join("log")).unwrap_or_default();
                panic!("sushy-emulator does not listen (ended: {ended:?}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn certificate(&self) -> PathBuf {
        self.state.path().join("bmc.pem")
    }

    /// `driver_info` for this emulator with more keys on top.
    pub(super) fn driver_info(&self, more: Value) -> Map<String, Value> {
        let scheme = if self.options.tls { "https" } else { "http" };
        let mut info = json!({"redfish_address": format!("{scheme}://{}", self.address)});
        if self.options.auth {
            info["redfish_username"] = json!(USER);
            info["redfish_password"] = json!(PASSWORD);
        }
        if self.options.tls {
            info["redfish_verify_ca"] = json!(self.certificate());
        }
        let mut info = info.as_object().cloned().unwrap_or_default();
        info.extend(more.as_object().cloned().unwrap_or_default());
        info
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        for result in [self.child.kill(), self.child.wait().map(drop)] {
            if let Err(error) = result {
                eprintln!("sushy-emulator may still run: {error}");
            }
        }
    }
}

/// The emulator of the project's Python environment.
fn program() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/venv");
    let venv = std::env::var_os("TACIT_VENV").map_or_else(default, PathBuf::from);
    let program = venv.join("bin/sushy-emulator");
    assert!(
        program.is_file(),
        "{} does not exist: run `make setup`, which makes the Python environment (or point TACIT_VENV to one)",
        program.display()
    );
    program
}

fn write_config(state: &Path, options: Options) {
    let mut systems = format!(
        "{{'uuid': '{SYSTEM}', 'name': 'one', 'power_state': 'Off', \
         'nics': [{{'mac': '52:54:00:00:00:01', 'ip': '192.0.2.10'}}]}},"
    );
    if options.two_systems {
        let other = format!("{{'uuid': '{OTHER_SYSTEM}', 'name': 'two', 'power_state': 'On', 'nics': []}},");
        systems.push_str(&other);
    }
    let mut config = format!(
        "SUSHY_EMULATOR_STATE_DIR = '{}'\nSUSHY_EMULATOR_FAKE_SYSTEMS = [{systems}]\n",
        state.display()
    );
    if options.auth {
        let file = state.join("htpasswd");
        std::fs::write(&file, format!("{HTPASSWD}\n")).expect("a writable directory");
        writeln!(config, "SUSHY_EMULATOR_AUTH_FILE = '{}'", file.display())
            .expect("a string takes everything");
    }
    std::fs::write(state.join("emulator.conf"), config).expect("a writable directory");
}

/// Self-signed, marked as an authority and without the address that it is served at, as BMCs come.
fn make_certificate(state: &Path) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, "bmc-default");
    let certificate = params.self_signed(&key).expect("a certificate");
    std::fs::write(state.join("bmc.pem"), certificate.pem()).expect("a writable directory");
    std::fs::write(state.join("bmc.key"), key.serialize_pem()).expect("a writable directory");
}
