//! The program itself, as a plain process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tacit_protocol::medium::{ImagePolicy, NODE_CONFIG_VERSION, NodeConfig};
use tempfile::TempDir;

use super::{Answer, Authority, Caller};

pub(crate) const NODE: &str = "1be26c0b-03f2-4d2e-ae87-c02d7f33c123";

/// Folder of hardware managers within the agent's own.
const MANAGERS: &str = "managers";

pub(crate) struct TestAgent {
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    directory: TempDir,
    pub(crate) caller: Caller,
    disks: Vec<PathBuf>,
    child: Child,
}

impl TestAgent {
    pub(crate) fn start() -> Self {
        Self::with_disk(None)
    }

    /// With one disk, a file of `size` bytes full of `0xA5`.
    pub(crate) fn with_disk(size: Option<u64>) -> Self {
        Self::with_policy(size, ImagePolicy::default())
    }

    /// With one disk, and what the node's operator wants of images.
    pub(crate) fn with_policy(size: Option<u64>, image_policy: ImagePolicy) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new("test authority");
        let server = authority.server();
        let config = NodeConfig {
            version: NODE_CONFIG_VERSION,
            node_uuid: NODE.into(),
            made_at: 1_700_000_000,
            ca_certificate: authority.pem.clone(),
            certificate: server.certificate,
            private_key: server.key,
            network_data: None,
            port: None,
            image_policy,
        };
        std::fs::write(directory.path().join("config.json"), serde_json::to_vec(&config).unwrap()).unwrap();
        let disk = directory.path().join("disk");
        let size = size.unwrap_or(1 << 20);
        let file = std::fs::File::create(&disk).unwrap();
        // Large ones are holes, which are no less a disk.
        if size <= 128 << 20 {
            std::io::Write::write_all(&mut &file, &vec![0xA5; usize::try_from(size).unwrap()]).unwrap();
        }
        file.set_len(size).unwrap();
        let disks = vec![disk];
        let (child, address) = spawn(directory.path(), &disks);
        let caller = Caller::new(address, &authority.pem, Some(&authority.client()));
        Self { authority, address, directory, caller, disks, child }
    }

    /// Puts a program into the folder of hardware managers, and starts the agent again: it asks them when it begins.
    pub(crate) fn add_manager(&mut self, name: &str, program: &str) {
        use std::os::unix::fs::PermissionsExt;
        let folder = self.directory.path().join(MANAGERS);
        let path = folder.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&path, program).unwrap();
        for path in [folder, path] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        self.kill_and_restart();
    }

    pub(crate) fn disk(&self) -> &Path {
        &self.disks[0]
    }

    /// Starts the agent again with one more disk, all of it a hole.
    pub(crate) fn add_disk(&mut self, size: u64) {
        let disk = self.directory.path().join(format!("disk{}", self.disks.len()));
        std::fs::File::create(&disk).unwrap().set_len(size).unwrap();
        self.add_disk_at(disk);
    }

    /// Starts the agent again with one more disk, which is there already.
    pub(crate) fn add_disk_at(&mut self, disk: PathBuf) {
        self.disks.push(disk);
        self.kill_and_restart();
    }

    /// SIGKILL, then a new process with the same state.
    pub(crate) fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let (child, address) = spawn(self.directory.path(), &self.disks);
        self.child = child;
        self.address = address;
        self.caller = Caller::new(address, &self.authority.pem, Some(&self.authority.client()));
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.caller.request("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.caller.request("POST", path, Some(body.as_bytes()))
    }

    pub(crate) fn put(&self, path: &str, body: &serde_json::Value) -> Answer {
        self.caller.request("PUT", path, Some(body.to_string().as_bytes()))
    }

    /// Bytes of memory that the process holds now.
    pub(crate) fn peak_memory(&self) -> u64 {
        self.get("/v2/status").json()["rss_peak_bytes"].as_u64().unwrap()
    }
}

impl Drop for TestAgent {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait().map(|_| ())) {
            eprintln!("the agent did not end: {error}");
        }
    }
}

fn spawn(directory: &Path, disks: &[PathBuf]) -> (Child, SocketAddr) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tacit-agent"));
    command.args(["serve", "--no-power", "--listen", "127.0.0.1:0"]);
    command.arg("--config").arg(directory.join("config.json"));
    command.arg("--state-dir").arg(directory.join("state"));
    command.arg("--hardware-managers").arg(directory.join(MANAGERS));
    for disk in disks {
        command.arg("--disk").arg(disk);
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("listening on ").expect("the agent listens").parse().unwrap();
    (child, address)
}
