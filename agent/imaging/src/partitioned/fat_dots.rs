//! The `fatfs` crate gives the entries `.` and `..` of a new folder long names, and has `..` name the cluster of a
//! FAT32 root. Both contradict the specification (FAT 1.03, "Directory entries"), and checkers repair it.

use std::io::{self, Read, Seek, SeekFrom, Write};

const ENTRY: usize = 32;
const DELETED: u8 = 0xe5;
const FOLDER: u8 = 0x10;
const LONG_NAME: u8 = 0x0f;
const DOT: &[u8; 11] = b".          ";
const DOT_DOT: &[u8; 11] = b"..         ";

/// Corrects all folders of a file system that `fatfs` has just made.
pub(crate) fn mend_folders(disk: impl Read + Write + Seek) -> io::Result<()> {
    let mut volume = Volume::open(disk)?;
    let mut folders = volume.folders_in_root()?;
    while let Some(cluster) = folders.pop() {
        volume.mend(cluster)?;
        let mut at = Some(cluster);
        while let Some(cluster) = at {
            folders.extend(volume.folders(volume.offset(cluster), volume.cluster)?);
            at = volume.next(cluster)?;
        }
    }
    Ok(())
}

struct Volume<D> {
    disk: D,
    /// Bytes of a cluster.
    cluster: u64,
    /// Offsets in bytes.
    fat: u64,
    root: u64,
    data: u64,
    clusters: u64,
    /// FAT32 only.
    root_cluster: u64,
}

impl<D: Read + Write + Seek> Volume<D> {
    fn open(mut disk: D) -> io::Result<Self> {
        let mut boot = [0; 512];
        disk.seek(SeekFrom::Start(0))?;
        disk.read_exact(&mut boot)?;
        let short = |at: usize| u64::from(u16::from_le_bytes([boot[at], boot[at + 1]]));
        let long = |at: usize| short(at) | short(at + 2) << 16;
        let or = |short: u64, long: u64| if short == 0 { long } else { short };
        let (sector, fat_sectors) = (short(11), or(short(22), long(36)));
        let fat = short(14) * sector;
        let root = fat + u64::from(boot[16]) * fat_sectors * sector;
        let data = root + (short(17) * ENTRY as u64).next_multiple_of(sector);
        let cluster = sector * u64::from(boot[13]);
        let clusters = (or(short(19), long(32)) * sector - data) / cluster;
        let root_cluster = if short(17) == 0 { long(44) } else { 0 };
        Ok(Self { disk, cluster, fat, root, data, clusters, root_cluster })
    }

    fn offset(&self, cluster: u64) -> u64 {
        self.data + (cluster - 2) * self.cluster
    }

    fn read(&mut self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        self.disk.seek(SeekFrom::Start(offset))?;
        self.disk.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// The cluster that follows.
    fn next(&mut self, cluster: u64) -> io::Result<Option<u64>> {
        let (at, len) = match self.clusters {
            0..4085 => (cluster * 3 / 2, 2),
            4085..65525 => (cluster * 2, 2),
            _ => (cluster * 4, 4),
        };
        let mut bytes = self.read(self.fat + at, len)?;
        bytes.resize(4, 0);
        let entry = u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        let next = match self.clusters {
            0..4085 if cluster.is_multiple_of(2) => entry & 0xfff,
            0..4085 => entry >> 4,
            4085..65525 => entry,
            _ => entry & 0x0fff_ffff,
        };
        Ok(Some(next).filter(|next| (2..self.clusters + 2).contains(next)))
    }

    fn folders_in_root(&mut self) -> io::Result<Vec<u64>> {
        if self.root_cluster == 0 {
            return self.folders(self.root, self.data - self.root);
        }
        let (mut found, mut at) = (Vec::new(), Some(self.root_cluster));
        while let Some(cluster) = at {
            found.extend(self.folders(self.offset(cluster), self.cluster)?);
            at = self.next(cluster)?;
        }
        Ok(found)
    }

    /// First clusters of the folders, other than itself and its parent, that a piece of a folder names.
    fn folders(&mut self, offset: u64, len: u64) -> io::Result<Vec<u64>> {
        let piece = self.read(offset, len as usize)?;
        let entries = piece.chunks_exact(ENTRY).take_while(|entry| entry[0] != 0);
        Ok(entries
            .filter(|entry| entry[0] != DELETED && entry[0] != b'.' && entry[11] & LONG_NAME != LONG_NAME)
            .filter(|entry| entry[11] & FOLDER != 0)
            .map(|entry| {
                u64::from(u16::from_le_bytes([entry[26], entry[27]]))
                    | u64::from(u16::from_le_bytes([entry[20], entry[21]])) << 16
            })
            .collect())
    }

    /// Moves `.` and `..` to the front of the folder that begins in this cluster.
    fn mend(&mut self, cluster: u64) -> io::Result<()> {
        let offset = self.offset(cluster);
        let old = self.read(offset, 4 * ENTRY)?;
        let entries: Vec<&[u8]> = old.chunks_exact(ENTRY).collect();
        if !(entries[1].starts_with(DOT) && entries[3].starts_with(DOT_DOT)) {
            return Ok(());
        }
        let mut new = [entries[1], entries[3], &[0; 2 * ENTRY]].concat();
        let parent = |entry: &[u8]| [entry[20], entry[21], entry[26], entry[27]];
        let root = self.root_cluster.to_le_bytes();
        if self.root_cluster != 0 && parent(entries[3]) == [root[2], root[3], root[0], root[1]] {
            new[ENTRY + 20..ENTRY + 22].fill(0);
            new[ENTRY + 26..ENTRY + 28].fill(0);
        }
        new[2 * ENTRY] = DELETED;
        new[3 * ENTRY] = DELETED;
        self.disk.seek(SeekFrom::Start(offset))?;
        self.disk.write_all(&new)
    }
}
