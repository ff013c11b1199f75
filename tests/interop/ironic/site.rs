//! A site: the lab, stock Ironic, the bridge, the ramdisk, one enrolled node.

use std::fs::{File, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tacit_tests::lab::{Lab, LabOptions, run, tail};
use tacit_tests::stages::Stages;
use tacit_tests::workspace;

use super::bridge::Bridge;
use super::ramdisk;
use super::record::{self, Entry};
use super::stock::{Access, Ironic};

const NODE: &str = "6a1c0de5-0000-4000-8000-000000000001";
pub(crate) const MIB: u64 = 1 << 20;
/// A boot of the ramdisk on emulated CPUs and what Ironic does with it.
pub(crate) const A_BOOT: Duration = Duration::from_secs(600);

pub(crate) struct Site {
    // Dropped in this order: what runs in the lab before the lab.
    pub(crate) bridge: Bridge,
    pub(crate) ironic: Ironic,
    pub(crate) lab: Lab,
}

impl Site {
    /// Everything up, and the node `manageable`.
    pub(crate) fn start(stages: &mut Stages, access: Access) -> Result<Self> {
        let lab = stages.run("lab up", || Lab::start(LabOptions::default()))?;
        let mut ironic = stages.run("stock Ironic up", || Ironic::start(&lab, access))?;
        let bridge = stages.run("bridge up", || Bridge::start(&lab, NODE, access))?;
        let [kernel, disk] = stages.run("ramdisk", || ramdisk::build(&bridge.authority()?, &ironic.www()))?;
        stages.run("enrol, manage", || {
            ironic.enrol(&lab, NODE, kernel, disk)?;
            ironic.provision("manage", json!({}))?;
            ironic.wait_for("manageable", Duration::from_secs(60)).map(drop)
        })?;
        Ok(Self { bridge, ironic, lab })
    }

    /// Runs the whole of a test; shows everybody's last words when it fails.
    pub(crate) fn run(
        title: &'static str,
        access: Access,
        story: impl FnOnce(&mut Self, &mut Stages) -> Result<()>,
    ) -> Result<()> {
        let mut stages = Stages::new(title);
        let mut site = Self::start(&mut stages, access)?;
        let result = story(&mut site, &mut stages);
        if let Ok(entries) = site.record() {
            eprintln!("{title}: what Ironic asked of the agent\n{}", record::sequence(&entries));
        }
        if result.is_err() {
            let logs = [site.ironic.log(), site.bridge.log().to_owned(), site.lab.server.serial_file.clone()];
            for path in logs {
                eprintln!("---- {}\n{}", path.display(), tail(&path, 60));
            }
        }
        stages.run("tear down", || {
            drop(site);
            Ok(())
        })?;
        result
    }

    pub(crate) fn record(&self) -> Result<Vec<Entry>> {
        record::read(&self.ironic.log())
    }

    /// Says what is to be deployed.
    pub(crate) fn choose_image(&self, url: &str) -> Result<()> {
        self.ironic.set(&[
            ("instance_info/image_source", json!(url)),
            ("instance_info/image_os_hash_algo", json!("sha512")),
            ("instance_info/image_os_hash_value", json!(workspace::image_sha512("tiny.raw")?)),
            ("instance_info/image_disk_format", json!("raw")),
        ])
    }

    /// Asks for a state and waits for the one that it leads to.
    pub(crate) fn reach(&self, target: &str, more: Value, state: &str) -> Result<Value> {
        self.ironic.provision(target, more)?;
        self.ironic.wait_for(state, A_BOOT)
    }

    /// Waits for the line that the deployed system prints, as whom it calls itself.
    pub(crate) fn booted(&self, name: &str, since: usize) -> Result<()> {
        let pattern = format!("TACIT-DEPLOYED {name} verified-image-1");
        let line = self.lab.serial.wait_for_line(&pattern, since, Duration::from_secs(180))?;
        eprintln!("{}", line.text);
        Ok(())
    }

    /// Whether the first MiB of the disk, where partition tables are, is blank.
    pub(crate) fn begins_blank(&self) -> Result<bool> {
        let mut bytes = vec![0; usize::try_from(MIB)?];
        File::open(&self.lab.server.disk)?.read_exact(&mut bytes)?;
        Ok(bytes.iter().all(|byte| *byte == 0))
    }

    /// Bytes of the disk that hold anything.
    pub(crate) fn disk_bytes(&self) -> Result<u64> {
        Ok(std::fs::metadata(&self.lab.server.disk)?.blocks() * 512)
    }

    /// Waits until something is so while the node is on its way to `active`.
    pub(crate) fn wait_while_deploying(
        &self,
        what: &str,
        mut so: impl FnMut() -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + A_BOOT;
        while !so()? {
            let node = self.ironic.node()?;
            let state = node["provision_state"].as_str().unwrap_or_default();
            ensure!(
                ["deploying", "wait call-back"].contains(&state),
                "{state} before {what}: {}",
                node["last_error"]
            );
            ensure!(Instant::now() < deadline, "{what}: not in time");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    /// The firmware's variables hold this description of a boot entry.
    pub(crate) fn has_boot_entry(&self, description: &str) -> Result<bool> {
        let variables =
            std::fs::read(self.lab.files().join("nvram.fd")).context("reading the firmware's variables")?;
        let wanted: Vec<u8> = description.encode_utf16().flat_map(u16::to_le_bytes).collect();
        Ok(variables.windows(wanted.len()).any(|window| window == wanted))
    }

    /// What the rescue user's command prints, by SSH with this password.
    pub(crate) fn rescue_user(&self, password: &str, order: &str) -> Result<String> {
        // ssh asks a program for the password; this one knows it.
        let answer = self.lab.files().join("password");
        std::fs::write(&answer, format!("#!/bin/sh\necho '{password}'\n")).context("writing a password")?;
        std::fs::set_permissions(&answer, Permissions::from_mode(0o700)).context("writing a password")?;
        let mut ssh = self.lab.network().command("ssh");
        ssh.env("SSH_ASKPASS", &answer).env("SSH_ASKPASS_REQUIRE", "force");
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
        ssh.args(["-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1"]);
        ssh.args(["-o", "LogLevel=ERROR", "-o", "ConnectTimeout=30"]);
        ssh.arg(format!("rescue@{}", self.lab.server.address)).arg(order);
        run(ssh).context("the rescue user's order")
    }

    /// Whether anybody answers at the agent's port.
    pub(crate) fn agent_answers(&self) -> bool {
        let mut curl = self.lab.network().command("curl");
        curl.args([
            "-sk",
            "-o",
            "/dev/null",
            "-m",
            "3",
            &format!("https://{}:9999/v1/status", self.lab.server.address),
        ]);
        run(curl).is_ok()
    }

    /// In all boots of the ramdisk the node started nothing.
    pub(crate) fn was_silent(&self) -> Result<()> {
        let summary = self.lab.silence()?;
        eprintln!("{summary}");
        ensure!(summary.frames > 300, "the capture saw next to nothing");
        ensure!(summary.started.is_empty(), "the node started conversations");
        let dropped = self.lab.link.dropped_starts()?;
        ensure!(dropped == 0, "the kernel dropped {dropped} packets that the node started");
        Ok(())
    }
}
