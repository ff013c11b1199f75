//! The program in IPA's place.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Answer, Authority};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Longest wait for the agent's start.
const START: Duration = Duration::from_secs(30);

pub(crate) struct IpaAgent {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    arguments: Vec<String>,
    child: Child,
}

impl IpaAgent {
    /// Plain HTTP, with the token on its command line.
    pub(crate) fn plain(more: &[&str]) -> Self {
        let arguments = ["--agent-token", TOKEN].iter().chain(more);
        Self::start(tempfile::tempdir().unwrap(), arguments.map(|word| (*word).to_owned()).collect())
    }

    /// With the certificate and the key in these files.
    pub(crate) fn over_tls(certificate: &str, key: &str) -> Self {
        let arguments = ["--agent-token", TOKEN, "--tls-cert", certificate, "--tls-key", key];
        Self::start(tempfile::tempdir().unwrap(), arguments.map(str::to_owned).to_vec())
    }

    /// With a certificate of its own, and the kernel parameters of a boot.
    pub(crate) fn with_bridge(bridge: &Authority, parameters: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut arguments = Vec::new();
        let mut file = |option: &str, name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            arguments.extend([option.to_owned(), path.to_str().unwrap().to_owned()]);
        };
        file("--bridge-ca", "bridge.pem", &bridge.pem);
        if let Some(text) = parameters {
            file("--kernel-parameters", "cmdline", text);
        }
        Self::start(directory, arguments)
    }

    fn start(directory: TempDir, arguments: Vec<String>) -> Self {
        std::fs::write(directory.path().join("disk"), vec![0xA5; 1 << 20]).unwrap();
        let mut child = spawn(directory.path(), &arguments);
        let address = listening(&mut child).expect("the agent listens");
        Self { address, directory, arguments, child }
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    pub(crate) fn rescue_root(&self) -> PathBuf {
        self.directory.path().join("rescue")
    }

    /// The certificate that the agent made for itself.
    pub(crate) fn certificate(&self) -> String {
        let kept = std::fs::read(self.directory.path().join("state/certificate.json")).unwrap();
        let kept: Value = serde_json::from_slice(&kept).unwrap();
        kept["certificate"].as_str().unwrap().to_owned()
    }

    /// What it said so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    pub(crate) fn is_dead(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// SIGKILL, then a new process with the same state.
    pub(crate) fn kill_and_restart(&mut self) {
        self.restart();
        self.address = listening(&mut self.child).expect("the agent listens");
    }

    /// The same where the new process has nothing to say to anybody.
    pub(crate) fn kill_and_restart_silent(&mut self) {
        self.restart();
        let begun = Instant::now();
        while !self.log().contains("the API is closed") {
            assert!(begun.elapsed() < START && !self.is_dead(), "{}", self.log());
            std::thread::yield_now();
        }
        self.child.kill().unwrap();
        assert_eq!(listening(&mut self.child), None);
    }

    fn restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = spawn(self.directory.path(), &self.arguments);
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, body)
    }

    /// A command that is waited for.
    pub(crate) fn command(&self, name: &str, params: &Value) -> Answer {
        let path = format!("/v1/commands/?agent_token={TOKEN}&wait=true");
        self.post(&path, &json!({"name": name, "params": params}).to_string())
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:9999\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        Answer::parse(&bytes)
    }
}

impl Drop for IpaAgent {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("the agent did not end: {error}");
        }
    }
}

fn spawn(directory: &Path, arguments: &[String]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacit-agent"));
    command.args(["serve", "--ipa", "--no-power", "--listen", "127.0.0.1:0"]).args(arguments);
    command.arg("--state-dir").arg(directory.join("state"));
    command.arg("--rescue-root").arg(directory.join("rescue"));
    command.arg("--disk").arg(directory.join("disk"));
    // In place of the machine's own folder: it need not be there.
    command.arg("--hardware-managers").arg(directory.join("managers"));
    let log = File::create(directory.join("log")).unwrap();
    command.stdout(Stdio::piped()).stderr(log).spawn().unwrap()
}

/// Where it listens; nothing when it ends without.
fn listening(child: &mut Child) -> Option<SocketAddr> {
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    line.trim().strip_prefix("listening on ").map(|address| address.parse().unwrap())
}
