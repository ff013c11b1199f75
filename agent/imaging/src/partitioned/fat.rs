use std::collections::HashSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{FatType, FormatVolumeOptions};

/// An empty FAT file system.
pub(crate) struct Fat {
    pub(crate) bytes: u64,
    /// Bytes of a sector.
    pub(crate) sector: u32,
    pub(crate) label: [u8; 11],
    pub(crate) volume_id: u32,
    /// Not what suits the size.
    pub(crate) fat32: bool,
    /// Bytes of a cluster and entries of the root folder; what suits the size where not given.
    pub(crate) small: Option<(u32, u16)>,
}

impl Fat {
    /// Makes it over all of `disk`.
    ///
    /// # Errors
    ///
    /// When it cannot be written, or no FAT has this size in these sectors.
    pub(crate) fn format(&self, disk: impl Read + Write + Seek) -> io::Result<()> {
        let impossible = |_| io::Error::other("FAT does not know sectors, or so many sectors, of this size");
        let sector = u16::try_from(self.sector).map_err(impossible)?;
        if !(512..=4096).contains(&sector) {
            return Err(io::Error::other("FAT knows sectors of 512 to 4096 bytes"));
        }
        let sectors = u32::try_from(self.bytes / u64::from(self.sector)).map_err(impossible)?;
        let mut options = FormatVolumeOptions::new()
            .bytes_per_sector(sector)
            .total_sectors(sectors)
            .volume_id(self.volume_id)
            .volume_label(self.label);
        if self.fat32 {
            options = options.fat_type(FatType::Fat32);
        }
        if let Some((cluster, root_entries)) = self.small {
            options = options.bytes_per_cluster(cluster).max_root_dir_entries(root_entries);
        }
        fatfs::format_volume(disk, options)
    }
}

/// Whether a FAT file system can have so many bytes in sectors of this size.
pub(super) fn fits(bytes: u64, sector: u32) -> bool {
    let fat = Fat { bytes, sector, label: [b' '; 11], volume_id: 0, fat32: false, small: None };
    fat.format(Void { len: bytes, position: 0 }).is_ok()
}

/// Reads as zeros, whatever is written.
struct Void {
    len: u64,
    position: u64,
}

impl Void {
    fn pass(&mut self, len: usize) -> usize {
        let passed = self.len.saturating_sub(self.position).min(len as u64);
        self.position += passed;
        passed as usize
    }
}

impl Read for Void {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.pass(buf.len());
        buf[..len].fill(0);
        Ok(len)
    }
}

impl Write for Void {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        Ok(self.pass(buf.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Void {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.len.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

/// The paths of a FAT file system so far.
#[derive(Default)]
pub(crate) struct FatNames(HashSet<String>);

impl FatNames {
    /// FAT knows no case and drops some ends, so that two names may be one.
    ///
    /// # Errors
    ///
    /// When this one is, or would be another.
    pub(crate) fn take(&mut self, path: &str) -> io::Result<()> {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name.ends_with(['.', ' ']) || name.starts_with(' ') || name.contains('\\') {
            return Err(io::Error::other("FAT does not know such a name"));
        }
        if !self.0.insert(path.to_uppercase()) {
            return Err(io::Error::other("another name differs from it only in upper and lower case"));
        }
        Ok(())
    }
}
