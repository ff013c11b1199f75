//! The EFI system partition's files, read at offsets of the disk. The partition is tenant content: the kernel does
//! not mount it, and the amount that is read of it is bounded.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use tacit_blockdev::Device;

/// Most bytes that are read of one file system. A directory chain that runs in a circle ends here.
const BUDGET: u64 = 64 << 20;
/// Least that a read counts, so that many small ones come to an end, too.
const COST_OF_A_READ: u64 = 16;
/// Read at once, and kept: FAT code asks for a few bytes at a time.
const BLOCK: u64 = 64 << 10;
/// Blocks that are kept: the table and a file's data are read in turns, cluster by cluster.
const KEPT: usize = 8;
/// Most entries of one directory that are looked at.
const MAX_ENTRIES: usize = 4096;
/// Of a file system that holds one small file: bytes that are read, and blocks that are fetched for them. A walk that
/// jumps about reads few bytes and fetches a block for each.
const SMALL_BUDGET: u64 = 2 << 20;
const SMALL_FETCHES: u64 = 64;

/// A part of a disk as a read-only stream.
pub(super) struct Window<'a> {
    device: &'a Device,
    start: u64,
    length: u64,
    position: u64,
    /// The most recently used last.
    kept: Vec<(u64, Vec<u8>)>,
    read_so_far: u64,
    budget: u64,
    fetches_left: u64,
}

impl<'a> Window<'a> {
    pub(super) fn new(device: &'a Device, start: u64, length: u64) -> Self {
        Self::with_budget(device, start, length, BUDGET)
    }

    /// With a bound of its own on the bytes that are read.
    pub(super) fn with_budget(device: &'a Device, start: u64, length: u64, budget: u64) -> Self {
        let (kept, fetches_left) = (Vec::new(), u64::MAX);
        Self { device, start, length, position: 0, kept, read_so_far: 0, budget, fetches_left }
    }

    fn block(&mut self, at: u64) -> io::Result<&[u8]> {
        let start = at - at % BLOCK;
        let block = match self.kept.iter().position(|(kept, _)| *kept == start) {
            Some(place) => self.kept.remove(place),
            None => {
                self.fetches_left = self.fetches_left.checked_sub(1).ok_or_else(endless)?;
                let length = BLOCK.min(self.length - start);
                let mut bytes = vec![0; usize::try_from(length).expect("bounded by BLOCK")];
                self.device.read_at(self.start + start, &mut bytes).map_err(io::Error::other)?;
                if self.kept.len() >= KEPT {
                    self.kept.remove(0);
                }
                (start, bytes)
            }
        };
        self.kept.push(block);
        let (_, bytes) = self.kept.last().expect("pushed above");
        Ok(&bytes[usize::try_from(at - start).expect("bounded by BLOCK")..])
    }
}

fn endless() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the file system's structures do not come to an end")
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.length || buffer.is_empty() {
            return Ok(0);
        }
        let at = self.position;
        let bytes = self.block(at)?;
        let count = bytes.len().min(buffer.len());
        buffer[..count].copy_from_slice(&bytes[..count]);
        self.position += count as u64;
        // Counted whether or not it came from the cache: a circle may lie within one block.
        self.read_so_far += COST_OF_A_READ.max(count as u64);
        if self.read_so_far > self.budget {
            return Err(endless());
        }
        Ok(count)
    }
}

impl Write for Window<'_> {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Window<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.length.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

pub(super) type Folder<'fs, 'a> = fatfs::Dir<'fs, Window<'a>>;
pub(super) type Entry<'fs, 'a> = fatfs::DirEntry<'fs, Window<'a>>;

/// Entries of a folder without `.` and `..`, sorted by name regardless of case.
pub(super) fn list<'fs, 'a>(folder: &Folder<'fs, 'a>) -> io::Result<Vec<Entry<'fs, 'a>>> {
    let mut entries = Vec::new();
    for entry in folder.iter().take(MAX_ENTRIES) {
        let entry = entry?;
        if !matches!(entry.file_name().as_str(), "." | "..") {
            entries.push(entry);
        }
    }
    entries.sort_by_key(|entry| entry.file_name().to_lowercase());
    Ok(entries)
}

/// The folder of this name, in any case, with its name as it is written.
pub(super) fn subfolder<'fs, 'a>(
    folder: &Folder<'fs, 'a>,
    name: &str,
) -> io::Result<Option<(String, Folder<'fs, 'a>)>> {
    let found = list(folder)?
        .into_iter()
        .find(|entry| entry.is_dir() && entry.file_name().eq_ignore_ascii_case(name));
    Ok(found.map(|entry| (entry.file_name(), entry.to_dir())))
}

/// A file's content, at most `limit` bytes of it.
pub(super) fn read_file(entry: &Entry<'_, '_>, limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    entry.to_file().take(limit).read_to_end(&mut content)?;
    Ok(content)
}

/// The parser was not written for hostile numbers; a panic of its is a damaged volume, not the end of the agent.
pub(super) fn guarded<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::InvalidData, "the file system is damaged")))
}

/// A file in the root folder of a small FAT file system that is all of a device, if its label is the one that is
/// `wanted`. Nothing where there is no such file, or something else than FAT. At most `limit` bytes are read of the
/// file, at most 2 MiB of everything, whatever the file system says of itself.
///
/// # Errors
///
/// `InvalidData` for what is damaged, else those of the device.
pub fn read_small_volume(
    device: &Device,
    name: &str,
    limit: u64,
    wanted: impl FnOnce(&str) -> bool,
) -> io::Result<Option<Vec<u8>>> {
    guarded(|| {
        let mut window = Window::with_budget(device, 0, device.size_bytes(), SMALL_BUDGET);
        window.fetches_left = SMALL_FETCHES;
        // Of a medium that is something else, this is an error, too.
        let Ok(volume) = fatfs::FileSystem::new(window, fatfs::FsOptions::new()) else { return Ok(None) };
        let in_root = volume.read_volume_label_from_root_dir()?;
        if !wanted(in_root.unwrap_or_else(|| volume.volume_label()).trim()) {
            return Ok(None);
        }
        let file = match volume.root_dir().open_file(name) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(limit).read_to_end(&mut content)?;
        Ok(Some(content))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use tacit_blockdev::Access;

    use super::*;

    /// A folder whose table leads from block to block and never to an end.
    #[test]
    fn a_walk_that_jumps_about_comes_to_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        std::fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
        let device = Device::open(&path, Access::Read).unwrap();
        let mut window = Window::with_budget(&device, 0, 1 << 30, SMALL_BUDGET);
        window.fetches_left = SMALL_FETCHES;
        let jump = |number: u64| {
            window.seek(SeekFrom::Start(number * BLOCK)).unwrap();
            window.read_exact(&mut [0; 4])
        };
        let error = (0..16384).map(jump).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn places_that_are_read_in_turns_are_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk");
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(64 * BLOCK).unwrap();
        let device = Device::open(&path, Access::Read).unwrap();
        let mut window = Window::new(&device, BLOCK, 63 * BLOCK);
        let mut byte_at = |block: u64| {
            let mut byte = [0];
            window.seek(SeekFrom::Start(block * BLOCK + 5)).unwrap();
            window.read_exact(&mut byte).unwrap();
            byte[0]
        };
        assert_eq!((byte_at(3), byte_at(40)), (0, 0));
        // What changes beneath shows what is read again.
        for block in [3, 40] {
            file.write_all_at(&[1], (1 + block) * BLOCK + 5).unwrap();
        }
        assert_eq!((byte_at(3), byte_at(40), byte_at(3)), (0, 0, 0));
        for other in 10..10 + KEPT as u64 {
            byte_at(other);
        }
        assert_eq!((byte_at(3), byte_at(40)), (1, 1));
    }
}
