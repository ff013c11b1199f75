//! The whole lab as one value.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};

use super::bmc::Bmc;
use super::conductor::Conductor;
use super::image_server::ImageServer;
use super::libvirt::Libvirt;
use super::link::LinkWatch;
use super::network::Network;
use super::power::PowerWatch;
use super::process::{Process, tail};
use super::record::Record;
use super::serial::Serial;
use super::server::VirtualServer;
use crate::capture::Summary;
use crate::workspace;

/// How late a line of the serial port may be read: what is in doubt counts as the ramdisk's.
const SERIAL_DELAY: Duration = Duration::from_millis(100);

/// Size of the virtual server.
#[derive(Clone, Copy, Debug)]
pub struct LabOptions {
    pub disk_bytes: u64,
    pub memory_mib: u32,
}

impl Default for LabOptions {
    fn default() -> Self {
        Self { disk_bytes: 4 << 30, memory_mib: 1536 }
    }
}

/// A running lab. Dropping it, also in a panic, takes everything down.
#[derive(Debug)]
pub struct Lab {
    // Dropped in this order: children first, the record (which sweeps up) last.
    pub images: ImageServer,
    pub bmc: Bmc,
    pub serial: Serial,
    pub link: LinkWatch,
    pub power: PowerWatch,
    pub server: VirtualServer,
    libvirt: Libvirt,
    network: Network,
    files: PathBuf,
    record: Record,
}

impl Lab {
    /// Brings everything up: network, filter, capture, libvirt, server, BMC, image server. From then on a signal that ends
    /// the process takes the lab down first.
    pub fn start(options: LabOptions) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "the lab needs root (network namespaces, virtual machines): run it with sudo"
        );
        super::tear_down_on_signals()?;
        super::clean_leftovers()?;
        let name = format!("tacit{}", std::process::id());
        let record = Record::begin(&name)?;
        // Not /tmp, which may be memory: disks of machines lie here.
        let large = std::env::var_os("TMPDIR").unwrap_or_else(|| "/var/tmp".into());
        let files = tempfile::Builder::new()
            .prefix("tacit-lab-")
            .tempdir_in(&large)
            .context("making a directory")?
            .keep();
        record.files(&files)?;
        let network = Network::create(&record, &name)?;
        network.drop_what_the_node_starts()?;
        let link = LinkWatch::start(&record, &network, &files)?;
        let libvirt = Libvirt::start(&record, &network)?;
        libvirt.start_default_pool(&files.join("pool"))?;
        let server = VirtualServer::define(&libvirt, &files, options.disk_bytes, options.memory_mib)?;
        record.pid_file(&libvirt.domain_pid_file(server.name))?;
        let power = PowerWatch::start(libvirt.domain_pid_file(server.name))?;
        let serial = Serial::follow(&server.serial_file)?;
        let bmc = Bmc::start(&record, &network, &libvirt, server.uuid)?;
        let images = ImageServer::start(&record, &network, &workspace::cache().join("images"))?;
        Ok(Self { images, bmc, serial, link, power, server, libvirt, network, files, record })
    }

    /// The lab's network namespace.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Throw-away directory of this lab.
    pub fn files(&self) -> &Path {
        &self.files
    }

    /// How to reach the lab's libvirt by hand.
    pub fn libvirt_uri(&self) -> String {
        self.libvirt.uri()
    }

    /// Starts a process that ends with the lab, its output appended to `log`. Commands of [`Lab::network`] run in the
    /// lab's network.
    pub fn spawn(&self, name: &'static str, command: Command, log: &Path) -> Result<Process> {
        Process::spawn(&self.record, name, command, log)
    }

    /// A conductor whose automated cleaning removes metadata only.
    pub fn start_conductor(&self) -> Result<Conductor> {
        self.start_conductor_with(&["--erase-devices-priority", "0"])
    }

    /// A conductor with these arguments of `tacit serve`.
    pub fn start_conductor_with(&self, arguments: &'static [&'static str]) -> Result<Conductor> {
        Conductor::start(&self.record, &self.network, &self.files, arguments)
    }

    /// Starts a killed conductor again on the same state.
    pub fn restart_conductor(&self, conductor: &mut Conductor) -> Result<()> {
        conductor.kill9()?;
        conductor.serve(&self.record)
    }

    /// What the node did on its link whenever it ran the ramdisk: from the start of the kernel until it was switched
    /// off. What its firmware and the deployed system do is theirs.
    pub fn silence(&self) -> Result<Summary> {
        let mut boots = Vec::new();
        for line in self.serial.lines() {
            let Some(uptime) = ramdisk_began(&line.text) else { continue };
            let began = line.at - uptime - SERIAL_DELAY;
            let power = self.power.changes();
            let ended = power.iter().find(|change| !change.on && change.at > line.at).map(|change| change.at);
            boots.push(began..ended.unwrap_or_else(SystemTime::now));
        }
        ensure!(!boots.is_empty(), "the ramdisk never ran");
        self.link.summary(|at| boots.iter().any(|boot| boot.contains(&at)))
    }

    /// Starts the stopped image server again.
    pub fn resume_images(&mut self) -> Result<()> {
        self.images.resume(&self.record)
    }

    /// Writes a JSON document into the lab's directory, for a command line to read.
    pub fn write_json(&self, name: &str, value: &serde_json::Value) -> Result<String> {
        let path = self.files.join(name);
        fs::write(&path, value.to_string()).with_context(|| format!("writing {}", path.display()))?;
        path.to_str().map(str::to_owned).context("the lab's directory is not text")
    }
}

/// The uptime that the ramdisk's first line tells: `tacit:     2.31 tacit-agent 0.1.0`.
fn ramdisk_began(line: &str) -> Option<Duration> {
    let (uptime, what) = line.split_once("tacit: ")?.1.trim_start().split_once(' ')?;
    let first = what.starts_with("tacit-agent ");
    first.then(|| uptime.parse().ok().map(Duration::from_secs_f64)).flatten()
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let run = self.record.run_directory();
            for (what, path) in [
                ("conductor", self.files.join("conductor.log")),
                ("serial port", self.server.serial_file.clone()),
                ("BMC", run.join("bmc/output")),
                ("libvirt", run.join("libvirt/log/libvirtd.log")),
            ] {
                eprintln!("---- {what}\n{}", tail(&path, 40));
            }
        }
    }
}
