//! The real agent as a process, on one disk that is a file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::process::{self, Process};
use crate::site::NODE;

pub(crate) const DISK_SIZE: u64 = 32 << 20;

pub(crate) struct Agent {
    address: SocketAddr,
    directory: PathBuf,
    ca: PathBuf,
    process: Process,
}

impl Agent {
    /// As in Ironic's ramdisk, with `ipa-agent-token` where there is one.
    pub(crate) fn start(address: SocketAddr, directory: &Path, ca: &Path, token: Option<&str>) -> Self {
        std::fs::create_dir_all(directory.join("managers")).unwrap();
        set_token(directory, token);
        std::fs::File::create(directory.join("disk")).unwrap().set_len(DISK_SIZE).unwrap();
        let process = spawn(address, directory, ca);
        Self { address, directory: directory.to_owned(), ca: ca.to_owned(), process }
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.directory.join("disk")
    }

    pub(crate) fn stop(&mut self) {
        self.process.kill();
    }

    /// SIGKILL; the next one finds what the first left in memory's file system.
    pub(crate) fn restart(&mut self) {
        self.process.kill();
        self.resume();
    }

    /// As after a reboot: nothing is left but the disk, and what Ironic put on the medium.
    pub(crate) fn reboot(&mut self) {
        self.process.kill();
        self.boot();
    }

    /// The machine, after [`Self::stop`].
    pub(crate) fn boot(&mut self) {
        std::fs::remove_dir_all(self.directory.join("state")).unwrap();
        self.resume();
    }

    /// From a medium with another token, after [`Self::stop`].
    pub(crate) fn boot_with(&mut self, token: &str) {
        set_token(&self.directory, Some(token));
        self.boot();
    }

    /// The process, after [`Self::stop`].
    pub(crate) fn resume(&mut self) {
        self.process = spawn(self.address, &self.directory, &self.ca);
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) fn step(&self, kind: &str, step: Value) -> Value {
        let node = json!({"uuid": NODE, "properties": {"root_device": {"name": self.disk()}}, "instance_info": {},
                          "driver_internal_info": {}});
        let mut params = json!({"step": step, "node": node, "ports": []});
        params[format!("{kind}_version")] = Value::Null;
        params
    }
}

fn set_token(directory: &Path, token: Option<&str>) {
    let token = token.map(|token| format!("ipa-agent-token={token}")).unwrap_or_default();
    let parameters = format!("{token} ipa-api-url=http://nobody.invalid ipa-advertise-host=127.0.0.1\n");
    std::fs::write(directory.join("cmdline"), parameters).unwrap();
}

fn spawn(address: SocketAddr, directory: &Path, ca: &Path) -> Process {
    let mut command = Command::new(process::agent());
    command.args(["serve", "--ipa", "--no-power"]).arg("--listen").arg(address.to_string());
    command.arg("--bridge-ca").arg(ca).arg("--kernel-parameters").arg(directory.join("cmdline"));
    command.arg("--state-dir").arg(directory.join("state")).arg("--disk").arg(directory.join("disk"));
    command.arg("--hardware-managers").arg(directory.join("managers"));
    Process::start(&mut command)
}
