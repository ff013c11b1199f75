use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{FatType, FormatVolumeOptions};

/// Makes an empty FAT file system over all of `disk`, which has `bytes` bytes. FAT32 if asked for, else what suits
/// the size.
///
/// # Errors
///
/// When it cannot be written, or no FAT has this size in these sectors.
pub(crate) fn format_fat(
    disk: impl Read + Write + Seek,
    bytes: u64,
    sector: u32,
    label: [u8; 11],
    volume_id: u32,
    fat32: bool,
) -> io::Result<()> {
    let impossible = |_| io::Error::other("FAT does not know sectors, or so many sectors, of this size");
    let per_sector = u16::try_from(sector).map_err(impossible)?;
    if !(512..=4096).contains(&per_sector) {
        return Err(io::Error::other("FAT knows sectors of 512 to 4096 bytes"));
    }
    let sectors = u32::try_from(bytes / u64::from(sector)).map_err(impossible)?;
    let mut options = FormatVolumeOptions::new()
        .bytes_per_sector(per_sector)
        .total_sectors(sectors)
        .volume_id(volume_id)
        .volume_label(label);
    if fat32 {
        options = options.fat_type(FatType::Fat32);
    }
    fatfs::format_volume(disk, options)
}

/// Whether a FAT file system can have so many bytes in sectors of this size.
pub(super) fn fits(bytes: u64, sector: u32) -> bool {
    format_fat(Void { len: bytes, position: 0 }, bytes, sector, *b"NO NAME    ", 0, false).is_ok()
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
