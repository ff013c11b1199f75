//! libvirtd by hand: no service manager, no system configuration, in the lab's namespaces.
//!
//! `ip netns exec` gives each process a mount namespace of its own; there the directories that libvirt has compiled in
//! are covered with throw-away ones, so that a libvirt of the machine is neither seen nor touched.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::network::Network;
use super::process::{Process, run};
use super::record::Record;

/// Directories of libvirt and what covers them.
const COVERED: [(&str, &str); 5] = [
    ("etc", "/etc/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("run", "/run/libvirt"),
    ("log", "/var/log/libvirt"),
    ("cache", "/var/cache/libvirt"),
];

#[derive(Debug)]
pub(super) struct Libvirt {
    directory: PathBuf,
    daemon: Process,
}

impl Libvirt {
    pub(super) fn start(record: &Record, network: &Network) -> Result<Self> {
        let directory = record.run_directory().join("libvirt");
        for (name, _) in COVERED {
            fs::create_dir_all(directory.join(name)).context("making libvirt's directories")?;
        }
        let directory_text = directory.display();
        fs::write(
            directory.join("etc/qemu.conf"),
            "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nstdio_handler = \"file\"\n\
             cgroup_controllers = []\nremember_owner = 0\nnamespaces = []\n",
        )?;
        fs::write(
            directory.join("etc/libvirtd.conf"),
            format!(
                "unix_sock_group = \"root\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n\
                 log_outputs = \"2:file:{directory_text}/log/libvirtd.log\"\n"
            ),
        )?;
        // The one place with a shell: mounting has to happen inside the namespace that `ip` makes, before the daemon.
        let mut mounts = String::new();
        for (name, target) in COVERED {
            mounts += &format!("mkdir -p {target}; mount --bind \"$1/{name}\" {target}; ");
        }
        let mut command = network.command("sh");
        command.args([
            "-ec",
            &format!("{mounts} exec libvirtd --config /etc/libvirt/libvirtd.conf --pid-file \"$1/pid\""),
        ]);
        command.arg("sh").arg(&directory).env("PATH", path_with_sbin());
        let daemon = Process::spawn(record, "libvirtd", command, &directory.join("output"))?;
        let mut libvirt = Self { directory, daemon };
        let probe = libvirt.virsh(&["version"]);
        libvirt.daemon.wait_until(Duration::from_secs(60), || quiet_success(&probe))?;
        Ok(libvirt)
    }

    /// Where clients find this libvirt.
    pub(super) fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}/run/libvirt-sock", self.directory.display())
    }

    /// The pid file that libvirt keeps for a running domain.
    pub(super) fn domain_pid_file(&self, domain: &str) -> PathBuf {
        self.directory.join("run/qemu").join(format!("{domain}.pid"))
    }

    /// A storage pool named `default`: the emulator puts virtual media there.
    pub(super) fn start_default_pool(&self, target: &Path) -> Result<()> {
        fs::create_dir_all(target).context("making the pool's directory")?;
        let target = target.to_str().context("the pool's path is not text")?;
        run_line(self.virsh(&["pool-define-as", "default", "dir", "--target", target]))?;
        run_line(self.virsh(&["pool-start", "default"]))
    }

    pub(super) fn define(&self, xml: &Path) -> Result<()> {
        run_line(self.virsh(&["define", xml.to_str().context("the domain's path is not text")?]))
    }

    fn virsh(&self, arguments: &[&str]) -> Vec<String> {
        let mut line = vec!["virsh".to_owned(), "-q".into(), "-c".into(), self.uri()];
        line.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        line
    }
}

fn run_line(line: Vec<String>) -> Result<()> {
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]);
    run(command).map(drop)
}

fn quiet_success(line: &[String]) -> bool {
    Command::new(&line[0]).args(&line[1..]).output().is_ok_and(|output| output.status.success())
}

/// Daemons live in `/usr/sbin`, which a user's path may lack.
pub(super) fn path_with_sbin() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}
