//! Describes what a build made, or a medium made of it, without showing secrets.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Cursor, Read};
use std::path::Path;

use fatfs::{FileSystem, FsOptions};
use serde::Serialize;
use tacit_protocol::medium::{NodeConfig, REGION_SIZE, RegionError};

#[cfg(feature = "disks")]
use crate::disk_image::{self, BlockMap, DiskImage};
use crate::error::ImageError;
use crate::manifest::{self, BuildManifest};
use crate::pe::{self, Section};
use crate::{fat, iso, region};

/// What a file or folder is.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Info {
    /// Bootable medium, shared or a node's.
    Iso { size_bytes: u64, sha256: String, region_offset: u64, region_size: usize, region: Region },
    /// EFI program, usually a UKI.
    Efi { size_bytes: u64, sha256: String, sections: Vec<Section>, command_line: Option<String> },
    /// Folder of a build; every file matched its digest.
    Build(BuildManifest),
    #[cfg(feature = "disks")]
    DiskImage(DiskImage),
    #[cfg(feature = "disks")]
    BlockMap(BlockMap),
}

/// What a medium's region holds.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Region {
    NotConfigured,
    Configured { node_uuid: String, made_at: i64 },
    Damaged { reason: String },
}

impl Info {
    /// Looks at an ISO, an EFI program, the folder of a build, and (feature `disks`) a disk image or a block map.
    ///
    /// # Errors
    /// [`ImageError::Invalid`] also when a file of the folder is not what its manifest says.
    pub fn of(path: &Path) -> Result<Self, ImageError> {
        if path.is_dir() {
            return build(path);
        }
        if !is_medium(path).map_err(ImageError::io("read", path))? {
            return other(path);
        }
        let bytes = fs::read(path).map_err(ImageError::io("read", path))?;
        let (size_bytes, sha256) = (bytes.len() as u64, manifest::sha256(&bytes));
        if bytes.get(SECTOR * 16 + 1..SECTOR * 16 + 6) == Some(b"CD001") {
            let content = credential(path, &bytes)?;
            // The key is unique to the medium, so its whole region is found only where it lies.
            let file = File::open(path).map_err(ImageError::io("open", path))?;
            let found = region::find(&file, &content, 2).map_err(ImageError::io("read", path))?;
            let [region_offset] = found[..] else {
                return Err(invalid(path, "its region is not in one piece".into()));
            };
            let (region_size, region) = (content.len(), describe(&content));
            return Ok(Self::Iso { size_bytes, sha256, region_offset, region_size, region });
        }
        if bytes.starts_with(b"MZ") {
            let sections = pe::sections(&bytes).map_err(|source| invalid(path, source.to_string()))?;
            let command_line =
                sections.iter().find(|section| section.name == ".cmdline").and_then(|section| {
                    let start = section.offset as usize;
                    bytes.get(start..start + section.memory as usize)
                });
            let command_line = command_line.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
            return Ok(Self::Efi { size_bytes, sha256, sections, command_line });
        }
        Err(ImageError::UnknownKind(path.to_owned()))
    }
}

const SECTOR: usize = 2048;

/// Whether a file begins as an ISO or an EFI program does. Only these are read as a whole.
fn is_medium(path: &Path) -> io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(17 * SECTOR as u64).read_to_end(&mut head)?;
    Ok(head.starts_with(b"MZ") || head.get(SECTOR * 16 + 1..SECTOR * 16 + 6) == Some(b"CD001"))
}

#[cfg(feature = "disks")]
fn other(path: &Path) -> Result<Info, ImageError> {
    Ok(disk_image::describe(path)?)
}

#[cfg(not(feature = "disks"))]
fn other(path: &Path) -> Result<Info, ImageError> {
    Err(ImageError::UnknownKind(path.to_owned()))
}

fn build(path: &Path) -> Result<Info, ImageError> {
    let manifest_path = path.join(manifest::FILE_NAME);
    if !manifest_path.exists() {
        return Err(ImageError::UnknownKind(path.to_owned()));
    }
    let json = fs::read(&manifest_path).map_err(ImageError::io("read", &manifest_path))?;
    let build: BuildManifest =
        serde_json::from_slice(&json).map_err(|source| ImageError::Json { path: manifest_path, source })?;
    for entry in &build.files {
        let file = path.join(&entry.name);
        let contents = fs::read(&file).map_err(ImageError::io("read", &file))?;
        if manifest::FileEntry::of(&entry.name, &contents) != *entry {
            return Err(invalid(&file, format!("its size or sha256 differs from {}", manifest::FILE_NAME)));
        }
    }
    Ok(Info::Build(build))
}

/// The file of the region, read as firmware does: El Torito boot catalogue (El Torito 1.0, 2.0), FAT, path.
fn credential(path: &Path, iso: &[u8]) -> Result<Vec<u8>, ImageError> {
    let no_esp = || invalid(path, "it has no EFI boot entry".into());
    let word = |offset: usize| {
        let bytes = iso.get(offset..offset + 4).ok_or_else(no_esp)?;
        Ok::<_, ImageError>(u32::from_le_bytes(bytes.try_into().expect("slice of four")) as usize)
    };
    let catalogue = word(17 * SECTOR + 71)?.saturating_mul(SECTOR);
    let entry = (catalogue..catalogue.saturating_add(SECTOR))
        .step_by(32)
        .find(|&entry| iso.get(entry) == Some(&0x88))
        .ok_or_else(no_esp)?;
    let start = word(entry + 8)?.saturating_mul(SECTOR);
    let end = iso.len().min(start.saturating_add(iso::ESP_LIMIT as usize));
    let mut esp = iso.get(start..end).ok_or_else(no_esp)?.to_vec();

    let fat = |error: std::io::Error| invalid(path, format!("its EFI file system cannot be read ({error})"));
    let volume = FileSystem::new(Cursor::new(&mut esp), FsOptions::new()).map_err(fat)?;
    let mut content = Vec::new();
    let mut file = volume.root_dir().open_file(fat::CREDENTIAL).map_err(fat)?;
    file.read_to_end(&mut content).map_err(fat)?;
    Ok(content)
}

fn describe(content: &[u8]) -> Region {
    if content.len() != REGION_SIZE {
        return Region::Damaged { reason: format!("it is {} bytes long", content.len()) };
    }
    match NodeConfig::from_region(content) {
        Ok(config) => Region::Configured { node_uuid: config.node_uuid, made_at: config.made_at },
        Err(RegionError::NotConfigured) => Region::NotConfigured,
        Err(error) => Region::Damaged { reason: error.to_string() },
    }
}

fn invalid(path: &Path, reason: String) -> ImageError {
    ImageError::Invalid { path: path.to_owned(), reason }
}

impl fmt::Display for Info {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Iso { size_bytes, sha256, region_offset, region_size, region } => {
                writeln!(
                    out,
                    "kind     bootable medium (ISO 9660)\nsize     {size_bytes} bytes\nsha256   {sha256}"
                )?;
                writeln!(out, "region   {region_size} bytes at {region_offset}")?;
                match region {
                    Region::NotConfigured => write!(out, "node     none: the shared medium"),
                    Region::Configured { node_uuid, made_at } => {
                        write!(out, "node     {node_uuid}, configured at Unix time {made_at}")
                    }
                    Region::Damaged { reason } => {
                        write!(out, "node     unknown, the region is damaged: {reason}")
                    }
                }
            }
            Self::Efi { size_bytes, sha256, sections, command_line } => {
                writeln!(out, "kind     EFI program\nsize     {size_bytes} bytes\nsha256   {sha256}")?;
                if let Some(command_line) = command_line {
                    writeln!(out, "cmdline  {command_line}")?;
                }
                let lines = sections.iter().map(|section| {
                    let Section { name, address, memory, offset, .. } = section;
                    format!(
                        "section  {name:<9} {memory:>9} bytes at {address:#010x}, in the file at {offset}"
                    )
                });
                write!(out, "{}", lines.collect::<Vec<_>>().join("\n"))
            }
            #[cfg(feature = "disks")]
            Self::DiskImage(image) => image.fmt(out),
            #[cfg(feature = "disks")]
            Self::BlockMap(map) => map.fmt(out),
            Self::Build(build) => {
                writeln!(out, "kind     folder of a build, all digests match")?;
                writeln!(out, "kernel   {} (profile {})", build.kernel, build.profile.name())?;
                writeln!(out, "cmdline  {}", build.command_line)?;
                writeln!(out, "region   {REGION_SIZE} bytes at {} of the ISO", build.region_offset)?;
                for (title, names) in
                    [("modules ", &build.modules), ("built in", &build.builtin), ("absent  ", &build.absent)]
                {
                    writeln!(out, "{title} {} {}", names.len(), names.join(" "))?;
                }
                let lines = build.files.iter().map(|file| {
                    format!("file     {:<14} {:>9} bytes  {}", file.name, file.size_bytes, file.sha256)
                });
                write!(out, "{}", lines.collect::<Vec<_>>().join("\n"))
            }
        }
    }
}
