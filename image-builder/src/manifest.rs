//! `manifest.json`: what a build made, of what.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::profile::Profile;

/// Name of the file.
pub const FILE_NAME: &str = "manifest.json";

/// What a build made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BuildManifest {
    /// Version of this format, 1.
    pub version: u32,
    /// Version of the image builder.
    pub builder: String,
    /// `uname -r` in the ramdisk.
    pub kernel: String,
    pub profile: Profile,
    pub command_line: String,
    /// Modules in the ramdisk, dependencies included.
    pub modules: Vec<String>,
    /// Modules wanted that are inside the kernel.
    pub builtin: Vec<String>,
    /// Modules wanted that the kernel package does not have.
    pub absent: Vec<String>,
    /// Where the reserved region begins in `tacit.iso`, in bytes.
    pub region_offset: u64,
    pub files: Vec<FileEntry>,
}

/// One file of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileEntry {
    pub name: String,
    pub size_bytes: u64,
    pub sha256: String,
}

impl FileEntry {
    /// Describes `contents`.
    pub fn of(name: &str, contents: &[u8]) -> Self {
        Self { name: name.to_owned(), size_bytes: contents.len() as u64, sha256: sha256(contents) }
    }
}

/// Digest in lower-case hexadecimal digits.
pub fn sha256(contents: &[u8]) -> String {
    Sha256::digest(contents).iter().map(|byte| format!("{byte:02x}")).collect()
}
