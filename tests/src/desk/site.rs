//! A whole site on the desk: machine, BMC, conductor, image server, and images to write.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha512};
use tacit_ports::free_address;
use tacit_protocol::medium::{REGION_MARKER, REGION_SIZE};

use super::bmc::{Bmc, BmcFaults};
use super::conductor::Conductor;
use super::disk::LoopDisk;
use super::images::ImageServer;
use super::machine::{Machine, REGION_OFFSET};

/// The node's name in every test.
const NODE: &str = "desk";

/// One machine and everything around it; all of it gone when dropped.
pub struct Site {
    pub conductor: Conductor,
    pub machine: Arc<Machine>,
    pub disk: LoopDisk,
    pub images: ImageServer,
    bmc: Bmc,
    arguments: Vec<&'static str>,
    directory: tempfile::TempDir,
}

/// A disk image and its digest.
pub struct Image {
    pub bytes: Vec<u8>,
    pub sha512: String,
}

impl Site {
    /// `arguments` are added to `tacit serve`; the disk has `disk_size` bytes.
    pub async fn start(disk_size: u64, arguments: &[&'static str]) -> Result<Self> {
        Self::start_with(disk_size, arguments, None, &[]).await
    }

    /// The same with another agent than the one built beside the tests, and more disks.
    pub async fn start_with(
        disk_size: u64,
        arguments: &[&'static str],
        agent: Option<PathBuf>,
        more_disks: &[&Path],
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut medium = vec![0; REGION_OFFSET];
        medium.extend(REGION_MARKER);
        medium.resize(REGION_OFFSET + REGION_SIZE, b' ');
        medium.resize(2 * REGION_OFFSET, 0);
        std::fs::write(directory.path().join("medium.iso"), medium)?;
        let disk = LoopDisk::new(directory.path(), disk_size)?;
        let disks = [&[disk.device()], more_disks].concat().into_iter().map(Path::to_owned).collect();
        let agent = agent.map_or_else(|| program("tacit-agent"), Ok)?;
        let machine = Machine::new(agent, disks, directory.path(), free_address());
        let machine = Arc::new(machine);
        let bmc = Bmc::start(machine.clone()).await?;
        let images = ImageServer::start().await?;
        let conductor = Conductor::start(program("tacit")?, directory.path(), arguments).await?;
        let site = Self { conductor, machine, disk, images, bmc, arguments: arguments.to_vec(), directory };
        let node = json!({
            "name": NODE, "driver": "redfish",
            "driver_info": {
                "redfish_address": format!("http://{}", site.bmc.address),
                "redfish_username": "desk", "redfish_password": "desk", "redfish_auth_type": "basic",
                "agent_address": site.machine.address.to_string(),
            },
        });
        site.conductor.send("POST", "/v1/nodes", node).await?;
        Ok(site)
    }

    pub fn bmc_faults(&self) -> &Mutex<BmcFaults> {
        &self.bmc.faults
    }

    /// `kill -9` of the conductor and a new start on what it left.
    pub async fn crash_conductor(&mut self) -> Result<()> {
        self.conductor.kill9()?;
        self.conductor.restart(&self.arguments).await
    }

    /// From `enroll` to `available`, without cleaning.
    pub async fn enroll(&self) -> Result<()> {
        self.patch("/automated_clean", json!(false)).await?;
        self.conductor.provision(NODE, "manage").await?;
        self.settles_in("manageable").await?;
        self.conductor.provision(NODE, "provide").await?;
        self.settles_in("available").await?;
        Ok(())
    }

    pub async fn verb(&self, target: &str) -> Result<()> {
        self.conductor.provision(NODE, target).await
    }

    pub async fn settles_in(&self, state: &str) -> Result<Value> {
        self.conductor.settles_in(NODE, state).await
    }

    pub async fn node(&self) -> Result<Value> {
        self.conductor.get(&format!("/v1/nodes/{NODE}")).await
    }

    pub async fn history(&self) -> Result<Vec<String>> {
        self.conductor.history(NODE).await
    }

    pub async fn patch(&self, path: &str, value: Value) -> Result<()> {
        let patch = json!([{"op": "add", "path": path, "value": value}]);
        self.conductor.send("PATCH", &format!("/v1/nodes/{NODE}"), patch).await?;
        Ok(())
    }

    /// Names the image of the image server, its digest and the disk (too small for the default rule).
    pub async fn image_is(&self, sha512: &str) -> Result<()> {
        self.source_is(&self.images.url(), sha512).await
    }

    /// Names an image in the conductor's own directory.
    pub async fn file_image_is(&self, path: &Path, sha512: &str) -> Result<()> {
        self.source_is(&format!("file://{}", path.display()), sha512).await
    }

    async fn source_is(&self, source: &str, sha512: &str) -> Result<()> {
        let info = json!({
            "image_source": source, "image_os_hash_algo": "sha512", "image_os_hash_value": sha512,
            "root_device": {"name": self.disk.device().display().to_string()},
        });
        self.patch("/instance_info", info).await
    }

    /// The conductor's state: its store, its authority.
    pub fn state_dir(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The directory whose files the conductor serves.
    pub fn image_dir(&self) -> Result<PathBuf> {
        let path = self.directory.path().join("state/images");
        std::fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Whether nothing is under way.
    pub async fn is_settled(&self) -> Result<bool> {
        let node = self.node().await?;
        let failed = node["provision_state"].as_str().is_some_and(|state| state.ends_with("failed"));
        Ok((node["target_provision_state"].is_null() || failed) && node["reservation"].is_null())
    }

    pub async fn progressed(&self, bytes: u64) -> Result<()> {
        self.conductor.wait_for_progress(NODE, bytes).await
    }

    /// What agent and conductor wrote, for a test that failed.
    pub fn logs(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        format!("--- agent\n{}\n--- conductor\n{}", read("agent.log"), read("conductor.log"))
    }
}

impl Image {
    /// A GPT image of `mib` MiB with one partition of incompressible bytes.
    pub fn gpt(mib: usize) -> Result<Self> {
        let mut bytes = vec![0_u8; mib << 20];
        // xorshift: repeatable and incompressible.
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        for word in bytes[1 << 20..].chunks_exact_mut(8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            word.copy_from_slice(&x.to_le_bytes());
        }
        let mut disk = std::io::Cursor::new(bytes);
        write_table(&mut disk)?;
        Ok(Self::of(disk.into_inner()))
    }

    pub fn of(bytes: Vec<u8>) -> Self {
        let sha512 = Sha512::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { bytes, sha512 }
    }
}

/// A GPT with one partition over the whole disk, and its protective MBR.
pub fn write_table(disk: &mut (impl Read + Write + Seek)) -> Result<()> {
    let mut table = gptman::GPT::new_from(disk, 512, [7; 16])?;
    table[1] = gptman::GPTPartitionEntry {
        partition_type_guid: [1; 16],
        unique_partition_guid: [2; 16],
        starting_lba: 2048,
        ending_lba: table.header.last_usable_lba,
        attribute_bits: 0,
        partition_name: "root".into(),
    };
    table.write_into(disk)?;
    gptman::GPT::write_protective_mbr_into(disk, 512)?;
    Ok(())
}

/// A program of this workspace, beside the test that runs.
fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    let directory = test.parent().and_then(|deps| deps.parent()).context("tests lie in deps/")?;
    let path = directory.join(name);
    anyhow::ensure!(path.is_file(), "{} is missing: build the whole workspace first", path.display());
    Ok(path)
}
