use std::collections::HashMap;
use std::io::{self, Cursor, Read, Seek, Write};

use fatfs::{FileSystem, FsOptions};

use crate::config_drive::iso9660::{self, Node, is_iso};
use crate::config_drive::{ConfigDriveError, MAX_CONFIG_DRIVE_BYTES};
use crate::partitioned::{Fat, FatNames, mend_folders};
use crate::place::random_guid;

const LABEL: [u8; 11] = *b"CONFIG-2   ";
/// Largest block of an ISO 9660 image in bytes. Linux mounts nothing whose blocks are smaller than the disk's sectors.
const ISO_BLOCK: u32 = 2048;
const CLUSTER: u32 = 2048;
const ENTRY: u64 = 32;

/// The config drive as it must lie on a disk with logical sectors of so many bytes: an ISO 9660 image becomes a FAT
/// file system labelled `CONFIG-2` with the same files where Linux could not mount it, or when `rebuild` asks for it.
/// All else stays as it is.
///
/// # Errors
///
/// [`ConfigDriveError`] when the ISO image is damaged, or its files do not fit into 64 MiB as FAT.
pub fn fit_config_drive(drive: Vec<u8>, sector: u32, rebuild: bool) -> Result<Vec<u8>, ConfigDriveError> {
    if is_iso(&drive) && (rebuild || sector > ISO_BLOCK) {
        let nodes = iso9660::list(&drive).map_err(|what| ConfigDriveError::Iso { what })?;
        return fat_with(&drive, &nodes, sector);
    }
    Ok(drive)
}

/// Whether Linux can mount the config drive from a disk with sectors of so many bytes.
pub fn is_mountable(drive: &[u8], sector: u32) -> bool {
    if is_iso(drive) {
        return sector <= ISO_BLOCK;
    }
    let fat = super::is_fat(drive);
    !fat || u32::from(u16::from_le_bytes([drive[11], drive[12]])) >= sector
}

fn fat_with(image: &[u8], nodes: &[Node], sector: u32) -> Result<Vec<u8>, ConfigDriveError> {
    let cluster = CLUSTER.max(sector);
    let (clusters, root_entries) = needs(nodes, cluster.into());
    let root_entries = u16::try_from(root_entries.max(64).next_multiple_of(u64::from(sector) / ENTRY));
    let root_entries = root_entries.map_err(|_| ConfigDriveError::TooLarge)?;
    // Two tables of up to 16 bits, root folder, boot sector, and what rounding up to sectors takes.
    let mut bytes = clusters * u64::from(cluster) + 2 * 2 * clusters;
    bytes += u64::from(root_entries) * ENTRY + 16 * u64::from(cluster);
    bytes = bytes.next_multiple_of(u64::from(cluster)).max(256 << 10);
    let failed = |path: &str, source| ConfigDriveError::Rebuild { path: path.to_owned(), source };
    let guid = random_guid()?;
    let volume_id = u32::from_le_bytes([guid[0], guid[1], guid[2], guid[3]]);
    loop {
        if bytes > MAX_CONFIG_DRIVE_BYTES {
            return Err(ConfigDriveError::TooLarge);
        }
        let mut fat = vec![0; bytes as usize];
        let shape = Fat {
            bytes,
            sector,
            label: LABEL,
            volume_id,
            fat32: false,
            small: Some((cluster, root_entries)),
        };
        // Sizes at which the tables are of one kind with, and of another without themselves, are impossible.
        if shape.format(Cursor::new(&mut fat)).is_err() {
            bytes += 16 * u64::from(cluster);
            continue;
        }
        fill(&mut fat, image, nodes).map_err(|(path, source)| failed(path, source))?;
        mend_folders(Cursor::new(&mut fat)).map_err(|source| failed("/", source))?;
        return Ok(fat);
    }
}

fn fill<'n>(fat: &mut [u8], image: &[u8], nodes: &'n [Node]) -> Result<(), (&'n str, io::Error)> {
    let volume = FileSystem::new(Cursor::new(fat), FsOptions::new()).map_err(|error| ("/", error))?;
    let mut names = FatNames::default();
    for node in nodes {
        put(&volume, &mut names, image, node).map_err(|error| (node.path.as_str(), error))?;
    }
    volume.unmount().map_err(|error| ("/", error))
}

fn put<D: Read + Write + Seek>(
    volume: &FileSystem<D>,
    names: &mut FatNames,
    image: &[u8],
    node: &Node,
) -> io::Result<()> {
    names.take(&node.path)?;
    let root = volume.root_dir();
    let Some(content) = &node.content else {
        return root.create_dir(&node.path).map(drop);
    };
    let mut file = root.create_file(&node.path)?;
    file.write_all(&image[content.clone()])?;
    file.flush()
}

/// Clusters for all files and folders but the root, and entries of the root folder.
fn needs(nodes: &[Node], cluster: u64) -> (u64, u64) {
    let mut entries: HashMap<&str, u64> = HashMap::new();
    let mut clusters = 0;
    for node in nodes {
        let (parent, name) = node.path.rsplit_once('/').unwrap_or(("", &node.path));
        // A long name lies in entries of 13 units each, before the short one.
        *entries.entry(parent).or_default() += 1 + (name.encode_utf16().count() as u64).div_ceil(13);
        match &node.content {
            Some(content) => clusters += (content.len() as u64).div_ceil(cluster),
            // Itself, its parent, and the long names that these get at first.
            None => *entries.entry(&node.path).or_default() += 4,
        }
    }
    // The label.
    let root = 1 + entries.remove("").unwrap_or(0);
    clusters += entries.values().map(|count| (count * ENTRY).div_ceil(cluster)).sum::<u64>();
    (clusters, root)
}
