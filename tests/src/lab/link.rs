//! The two witnesses of the node's link: a packet capture on its tap, and the kernel's count of what was dropped.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use nix::sys::signal::Signal;

use super::NODE_MAC;
use super::network::{Network, TAP};
use super::process::Process;
use super::record::Record;
use crate::capture::{self, Summary};

/// A capture that began before the server was first powered on.
#[derive(Debug)]
pub struct LinkWatch {
    network: Network,
    file: PathBuf,
    tcpdump: Process,
}

impl LinkWatch {
    pub(super) fn start(record: &Record, network: &Network, files: &std::path::Path) -> Result<Self> {
        let file = files.join("node.pcap");
        let mut command = network.command("tcpdump");
        command.args(["-i", TAP, "-U", "-n", "-s", "128", "-Z", "root", "-w"]).arg(&file);
        command.env("PATH", super::libvirt::path_with_sbin());
        let mut tcpdump =
            Process::spawn(record, "tcpdump", command, &record.run_directory().join("tcpdump.log"))?;
        // The file's header is written once the capture is open.
        tcpdump.wait_until(Duration::from_secs(20), || file.metadata().is_ok_and(|file| file.len() >= 24))?;
        Ok(Self { network: network.clone(), file, tcpdump })
    }

    /// What the node did so far, at the moments that count.
    pub fn summary(&self, counts: impl Fn(SystemTime) -> bool) -> Result<Summary> {
        let bytes = std::fs::read(&self.file).with_context(|| format!("reading {}", self.file.display()))?;
        let mac = capture::parse_mac(NODE_MAC).expect("a constant address");
        capture::summarise(&bytes, mac, counts).with_context(|| format!("reading {}", self.file.display()))
    }

    /// When the node first and last sent something from a TCP port in a span of time.
    pub fn answers(
        &self,
        port: u16,
        from: SystemTime,
        until: SystemTime,
    ) -> Result<Option<(SystemTime, SystemTime)>> {
        let bytes = std::fs::read(&self.file).with_context(|| format!("reading {}", self.file.display()))?;
        let mac = capture::parse_mac(NODE_MAC).expect("a constant address");
        let all = capture::answers(&bytes, mac, port)
            .with_context(|| format!("reading {}", self.file.display()))?;
        let mut within = all.into_iter().filter(|at| (from..=until).contains(at));
        Ok(within.next().map(|first| (first, within.next_back().unwrap_or(first))))
    }

    /// Packets started by the node that the kernel dropped.
    pub fn dropped_starts(&self) -> Result<u64> {
        self.network.dropped_starts()
    }

    /// Ends the capture; the file stays until the lab ends.
    pub fn stop(&mut self) -> Result<()> {
        self.tcpdump.end_with(Signal::SIGINT)
    }
}
