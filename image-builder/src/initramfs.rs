//! The ramdisk: the agent as `/init`, the modules, what the caller adds to them, and nothing else.

use std::collections::BTreeMap;
use std::io;

use tacit_protocol::ramdisk::{EXTERNAL_MANAGERS, MODULE_MANIFEST_PATH};

use crate::cpio::Archive;
use crate::modules::Selection;

/// Identification of the ramdisk (os-release(5)); also the UKI's `.osrel`.
pub const OS_RELEASE: &str = concat!(
    "ID=tacit\nNAME=Tacit\nVERSION_ID=",
    env!("CARGO_PKG_VERSION"),
    "\nPRETTY_NAME=\"Tacit deploy ramdisk\"\n"
);

const LEVEL: i32 = 19;

/// An executable that the ramdisk carries besides the agent.
#[derive(Debug)]
pub struct HardwareManager {
    pub name: String,
    pub program: Vec<u8>,
}

/// A file by which the agent knows what kind of ramdisk it is in.
#[derive(Debug)]
pub struct Setting {
    /// Absolute, in the ramdisk.
    pub path: &'static str,
    pub mode: u32,
    pub content: Vec<u8>,
}

/// The ramdisk's archive, compressed with zstd by a single thread (several would make the bytes depend on their number).
///
/// Modules are stored unpacked: compressing them once, together, is smaller.
pub fn build(
    agent: Vec<u8>,
    selection: Selection,
    managers: Vec<HardwareManager>,
    programs: BTreeMap<String, Vec<u8>>,
    settings: Vec<Setting>,
) -> io::Result<Vec<u8>> {
    let archive = archive(agent, selection, managers, programs, settings);
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), LEVEL)?;
    encoder.set_pledged_src_size(Some(archive.len()))?;
    archive.write_to(&mut encoder)?;
    encoder.finish()
}

fn archive(
    agent: Vec<u8>,
    selection: Selection,
    managers: Vec<HardwareManager>,
    programs: BTreeMap<String, Vec<u8>>,
    settings: Vec<Setting>,
) -> Archive {
    let mut archive = Archive::default();
    for folder in ["dev", "etc", "lib/modules", "proc", "run", "sys", EXTERNAL_MANAGERS] {
        archive.directory(folder, 0o755);
    }
    archive.directory("tmp", 0o1777);
    // The kernel opens /dev/console for the first process before anything could mount /dev.
    archive.character_device("dev/console", 0o600, 5, 1);
    archive.character_device("dev/null", 0o666, 1, 3);
    archive.file("init", 0o755, agent);
    archive.file("etc/os-release", 0o644, OS_RELEASE.into());

    let manifest = serde_json::to_vec(&selection.manifest).expect("a manifest is strings only");
    archive.file(MODULE_MANIFEST_PATH, 0o644, manifest);
    for (path, module) in selection.files {
        archive.file(&path, 0o644, module);
    }
    for setting in settings {
        archive.file(setting.path, setting.mode, setting.content);
    }
    for (path, program) in programs {
        archive.file(&path, 0o755, program);
    }
    for manager in managers {
        archive.file(&format!("{EXTERNAL_MANAGERS}/{}", manager.name), 0o755, manager.program);
    }
    archive
}
