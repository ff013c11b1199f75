//! An EFI system partition made anew, file by file, from another one; and the comparison of the two.

use std::io::{self, Read, Seek, SeekFrom, Write};

use fatfs::{Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions, ReadWriteSeek, format_volume};
use tacit_blockdev::{AlignedBuf, Device};

use super::fat::{Window, guarded};

const BLOCK: u64 = 64 << 10;
/// Blocks that are kept: table, folder and data of a file are written in turns.
const KEPT: usize = 32;
/// Bounds of what a tenant's file system may ask for.
const MAX_DEPTH: usize = 16;
const MAX_ENTRIES: usize = 10_000;

/// Where a file system lies.
#[derive(Clone, Copy)]
pub(super) struct Volume<'a> {
    pub(super) device: &'a Device,
    /// Bytes from the start of the device.
    pub(super) start: u64,
    /// Bytes.
    pub(super) length: u64,
}

impl<'a> Volume<'a> {
    /// Each byte may be read twice: once for what it is, once for where it is.
    fn window(&self) -> Window<'a> {
        Window::with_budget(self.device, self.start, self.length, self.length.saturating_mul(2).max(64 << 20))
    }
}

/// Makes a file system of the source's name and number with all of its files on the target; tells how many.
///
/// # Errors
///
/// Those of reading and writing, and of a source that is damaged or too large.
pub(super) fn copy(source: Volume<'_>, target: Volume<'_>) -> io::Result<usize> {
    guarded(|| {
        let from = FileSystem::new(source.window(), FsOptions::new())?;
        let mut blocks = Blocks::new(target);
        let mut label = [b' '; 11];
        for (place, byte) in label.iter_mut().zip(from.volume_label_as_bytes()) {
            *place = *byte;
        }
        let sector = u16::try_from(target.device.logical_sector()).map_err(io::Error::other)?;
        let options = FormatVolumeOptions::new()
            .volume_id(from.volume_id())
            .volume_label(label)
            .bytes_per_sector(sector)
            .fat_type(FatType::Fat32);
        // What an earlier file system had in its tables must not be taken for this one's.
        target.device.zero(target.start, target.length).map_err(io::Error::other)?;
        format_volume(&mut blocks, options)?;
        let mut left = MAX_ENTRIES;
        {
            let to = FileSystem::new(&mut blocks, FsOptions::new())?;
            copy_folder(&from.root_dir(), &to.root_dir(), MAX_DEPTH, &mut left)?;
            to.unmount()?;
        }
        blocks.finish()?;
        Ok(MAX_ENTRIES - left)
    })
}

/// Whether both hold the same files with the same content.
///
/// # Errors
///
/// Those of reading.
pub(super) fn are_equal(one: Volume<'_>, other: Volume<'_>) -> io::Result<bool> {
    guarded(|| {
        let one = FileSystem::new(one.window(), FsOptions::new())?;
        let other = FileSystem::new(other.window(), FsOptions::new())?;
        if one.volume_id() != other.volume_id() {
            return Ok(false);
        }
        equal_folders(&one.root_dir(), &other.root_dir(), MAX_DEPTH)
    })
}

fn copy_folder<A: ReadWriteSeek, B: ReadWriteSeek>(
    from: &Dir<'_, A>,
    to: &Dir<'_, B>,
    depth: usize,
    left: &mut usize,
) -> io::Result<()> {
    for entry in from.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.as_str(), "." | "..") {
            continue;
        }
        *left = left.checked_sub(1).ok_or_else(|| io::Error::other("too many files"))?;
        if entry.is_dir() {
            let depth =
                depth.checked_sub(1).ok_or_else(|| io::Error::other("folders within too many others"))?;
            copy_folder(&entry.to_dir(), &to.create_dir(&name)?, depth, left)?;
        } else {
            let mut file = to.create_file(&name)?;
            let copied = io::copy(&mut entry.to_file(), &mut file)?;
            file.flush()?;
            if copied != entry.len() {
                return Err(io::Error::other(format!("{name} has {copied} bytes, not {}", entry.len())));
            }
        }
    }
    Ok(())
}

fn equal_folders<A: ReadWriteSeek, B: ReadWriteSeek>(
    one: &Dir<'_, A>,
    other: &Dir<'_, B>,
    depth: usize,
) -> io::Result<bool> {
    let names = |names: Vec<String>| {
        let mut names: Vec<String> = names.into_iter().filter(|name| name != "." && name != "..").collect();
        names.sort();
        names
    };
    let mine: Vec<_> = one.iter().take(MAX_ENTRIES).collect::<Result<_, _>>()?;
    let theirs = other.iter().take(MAX_ENTRIES).map(|entry| Ok(entry?.file_name()));
    let theirs = names(theirs.collect::<io::Result<_>>()?);
    if names(mine.iter().map(fatfs::DirEntry::file_name).collect()) != theirs {
        return Ok(false);
    }
    for entry in mine.iter().filter(|entry| !matches!(entry.file_name().as_str(), "." | "..")) {
        let name = entry.file_name();
        let equal = if entry.is_dir() {
            let depth =
                depth.checked_sub(1).ok_or_else(|| io::Error::other("folders within too many others"))?;
            equal_folders(&entry.to_dir(), &other.open_dir(&name)?, depth)?
        } else {
            equal_streams(entry.to_file(), other.open_file(&name)?)?
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

fn equal_streams(mut one: impl Read, mut other: impl Read) -> io::Result<bool> {
    const PIECE: u64 = 64 << 10;
    loop {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        one.by_ref().take(PIECE).read_to_end(&mut a)?;
        other.by_ref().take(PIECE).read_to_end(&mut b)?;
        if a != b {
            return Ok(false);
        }
        if a.is_empty() {
            return Ok(true);
        }
    }
}

/// A part of a device as a stream that is written in whole blocks.
struct Blocks<'a> {
    volume: Volume<'a>,
    position: u64,
    /// The most recently used last.
    kept: Vec<Kept>,
}

struct Kept {
    start: u64,
    bytes: AlignedBuf,
    changed: bool,
}

impl<'a> Blocks<'a> {
    fn new(volume: Volume<'a>) -> Self {
        Self { volume, position: 0, kept: Vec::new() }
    }

    fn block(&mut self, at: u64) -> io::Result<&mut Kept> {
        let start = at - at % BLOCK;
        let block = match self.kept.iter().position(|block| block.start == start) {
            Some(place) => self.kept.remove(place),
            None => {
                if self.kept.len() >= KEPT {
                    let oldest = self.kept.remove(0);
                    self.store(&oldest)?;
                }
                let length = BLOCK.min(self.volume.length - start);
                let mut bytes = AlignedBuf::new(usize::try_from(length).expect("a block at most"));
                self.volume
                    .device
                    .read_at(self.volume.start + start, &mut bytes)
                    .map_err(io::Error::other)?;
                Kept { start, bytes, changed: false }
            }
        };
        self.kept.push(block);
        Ok(self.kept.last_mut().expect("pushed above"))
    }

    fn store(&self, block: &Kept) -> io::Result<()> {
        if !block.changed {
            return Ok(());
        }
        self.volume.device.write_at(self.volume.start + block.start, &block.bytes).map_err(io::Error::other)
    }

    /// Everything that was written goes to the medium.
    fn finish(mut self) -> io::Result<()> {
        for block in std::mem::take(&mut self.kept) {
            self.store(&block)?;
        }
        self.volume.device.flush().map_err(io::Error::other)
    }

    /// Bytes from the position to the end of its block, and how many of `wanted` they serve.
    fn part(&mut self, wanted: usize) -> io::Result<Option<(usize, usize)>> {
        if self.position >= self.volume.length || wanted == 0 {
            return Ok(None);
        }
        let within = usize::try_from(self.position % BLOCK).expect("less than a block");
        let position = self.position;
        let available = self.block(position)?.bytes.len() - within;
        Ok(Some((within, available.min(wanted))))
    }
}

impl Read for Blocks<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((within, count)) = self.part(buffer.len())? else { return Ok(0) };
        let block = self.kept.last().expect("the part's block was used last");
        buffer[..count].copy_from_slice(&block.bytes[within..within + count]);
        self.position += count as u64;
        Ok(count)
    }
}

impl Write for Blocks<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let Some((within, count)) = self.part(buffer.len())? else { return Ok(0) };
        let block = self.kept.last_mut().expect("the part's block was used last");
        block.bytes[within..within + count].copy_from_slice(&buffer[..count]);
        block.changed = true;
        self.position += count as u64;
        Ok(count)
    }

    /// Nothing is promised before [`Blocks::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Blocks<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(offset) => Some(offset),
            SeekFrom::Current(distance) => self.position.checked_add_signed(distance),
            SeekFrom::End(distance) => self.volume.length.checked_add_signed(distance),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use tacit_blockdev::Access;

    use super::*;

    const SIZE: u64 = 64 << 20;

    fn run(program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn open(path: &Path, size: u64) -> Device {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .and_then(|file| file.set_len(size))
            .unwrap();
        Device::open(path, Access::ReadWrite).unwrap()
    }

    #[test]
    fn all_files_are_copied_and_differences_are_seen() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let source = open(&from, SIZE);
        let image = from.to_str().unwrap();
        run("mkfs.vfat", &["-F", "32", "-n", "TENANT", "-i", "1234abcd", image]);
        let big = folder.path().join("big");
        let content: Vec<u8> = (0..3_000_017_u32).map(|at| (at * 7 + (at >> 9)) as u8).collect();
        std::fs::write(&big, &content).unwrap();
        run("mmd", &["-i", image, "::/EFI", "::/EFI/debian"]);
        run("mcopy", &["-i", image, big.to_str().unwrap(), "::/EFI/debian/A long name.efi"]);
        run("mcopy", &["-i", image, big.to_str().unwrap(), "::/EFI/debian/shimx64.efi"]);

        // The target begins somewhere on its device, and was something else before.
        let target = open(&to, 2 * SIZE);
        target.write_at(0, &vec![0xee; 4 << 20]).unwrap();
        let one = Volume { device: &source, start: 0, length: SIZE };
        let other = Volume { device: &target, start: 1 << 20, length: SIZE + (8 << 20) };
        assert_eq!(copy(one, other).unwrap(), 4);
        assert!(are_equal(one, other).unwrap());

        let copied = format!("{}@@1M", to.display());
        assert!(run("mdir", &["-i", &copied, "-b", "-/"]).contains("A long name.efi"));
        let label = run("mlabel", &["-i", &copied, "-s"]);
        assert!(label.contains("TENANT"), "{label}");
        let back = folder.path().join("back");
        run("mcopy", &["-i", &copied, "::/EFI/debian/shimx64.efi", back.to_str().unwrap()]);
        assert!(std::fs::read(&back).unwrap() == content, "the content is another one");
        run("mdel", &["-i", &copied, "::/EFI/debian/shimx64.efi"]);
        assert!(
            !are_equal(one, Volume { device: &Device::open(&to, Access::Read).unwrap(), ..other }).unwrap()
        );
    }

    #[test]
    fn damaged_and_too_large_sources_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let (source, target) = (open(&folder.path().join("a"), SIZE), open(&folder.path().join("b"), SIZE));
        let one = Volume { device: &source, start: 0, length: SIZE };
        let other = Volume { device: &target, start: 0, length: SIZE };
        assert!(copy(one, other).is_err());
    }
}
