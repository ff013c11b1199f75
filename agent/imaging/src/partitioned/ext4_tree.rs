//! Reading a tree out of an ext2, ext3 or ext4 file system that nobody vouches for.
//!
//! Runs in a thread of its own, which gets at nothing but the file system's bytes, and only at so many of them. What
//! it finds, and what it wants to read, it tells through a channel.

use std::error::Error;
use std::sync::mpsc::{Receiver, SyncSender};

use ext4_view::{Ext4, Ext4Error, Ext4Read, FileType};

/// Most bytes that are read of one file system, its journal included.
const BUDGET: u64 = 1 << 30;
/// Least that a read counts, so that many small ones come to an end, too.
const COST_OF_A_READ: u64 = 64;
const MAX_READ: usize = 4 << 20;
const MAX_ENTRIES: usize = 4096;
const MAX_DEPTH: usize = 16;
/// More files than this do not fit into any EFI system partition that is made here. In bytes.
const MAX_BYTES: u64 = 512 << 20;
/// Bytes of a file that are handed over at once.
const PIECE: usize = 256 << 10;

pub(super) enum Ask {
    /// Bytes of the file system, to be answered.
    Read {
        offset: u64,
        len: usize,
    },
    Directory(String),
    /// The bytes that follow are its content.
    File(String),
    Bytes(Vec<u8>),
}

/// Why there is no tree, or not all of it.
#[derive(Debug)]
pub(super) enum WalkError {
    /// The file system cannot be read.
    Unreadable(String),
    /// A file or folder within the tree cannot be read, or must not be copied.
    Entry { path: String, source: Box<dyn Error + Send + Sync> },
    /// The other end is gone.
    Abandoned,
}

/// Tells all folders and files below `top` with paths relative to it; nothing if it is not there. Symbolic links and
/// special files are left out, and none is followed on the way to `top`.
pub(super) fn walk(
    len: u64,
    top: &[&str],
    asks: &SyncSender<Ask>,
    answers: Receiver<Vec<u8>>,
) -> Result<(), WalkError> {
    let mut remote = Remote { asks: asks.clone(), answers, len, budget: BUDGET };
    let unreadable = |error: Ext4Error| WalkError::Unreadable(error.to_string());
    remote.check_superblock().map_err(|error| WalkError::Unreadable(error.to_string()))?;
    let fs = Ext4::load(Box::new(remote)).map_err(unreadable)?;
    let mut path = String::new();
    for name in top {
        path = format!("{path}/{name}");
        match fs.symlink_metadata(path.as_str()) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) | Err(Ext4Error::NotFound) => return Ok(()),
            Err(error) => return Err(unreadable(error)),
        }
    }
    let mut tree = Tree { fs, asks, entries: 0, bytes: 0 };
    tree.folder(&path, "", 0)
}

struct Tree<'a> {
    fs: Ext4,
    asks: &'a SyncSender<Ask>,
    entries: usize,
    bytes: u64,
}

impl Tree<'_> {
    fn folder(&mut self, path: &str, relative: &str, depth: usize) -> Result<(), WalkError> {
        let refuse = |path: &str, what: &str| WalkError::Entry { path: path.to_owned(), source: what.into() };
        let failed =
            |path: &str, error: Ext4Error| WalkError::Entry { path: path.to_owned(), source: error.into() };
        for entry in self.fs.read_dir(path).map_err(|error| failed(path, error))? {
            let entry = entry.map_err(|error| failed(path, error))?;
            let name = entry.file_name();
            if name == "." || name == ".." {
                continue;
            }
            let Ok(name) = name.as_str() else {
                return Err(refuse(path, "the folder holds a name that is not UTF-8"));
            };
            let full = format!("{path}/{name}");
            let below = if relative.is_empty() { name.to_owned() } else { format!("{relative}/{name}") };
            self.entries += 1;
            if self.entries > MAX_ENTRIES || depth >= MAX_DEPTH {
                return Err(refuse(&full, "there are too many files, or they lie too deep"));
            }
            match entry.file_type().map_err(|error| failed(&full, error))? {
                FileType::Directory => {
                    self.tell(Ask::Directory(below.clone()))?;
                    self.folder(&full, &below, depth + 1)?;
                }
                FileType::Regular => self.file(&full, below)?,
                _ => tracing::debug!(path = %full, "neither file nor folder: not copied"),
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &str, relative: String) -> Result<(), WalkError> {
        let failed = |error: Ext4Error| WalkError::Entry { path: path.to_owned(), source: error.into() };
        let mut file = self.fs.open(path).map_err(failed)?;
        self.bytes = self.bytes.saturating_add(file.metadata().len());
        if self.bytes > MAX_BYTES {
            let source = "with it the files are larger than any EFI system partition".into();
            return Err(WalkError::Entry { path: path.to_owned(), source });
        }
        self.tell(Ask::File(relative))?;
        loop {
            let mut piece = vec![0; PIECE];
            let mut filled = 0;
            while filled < PIECE {
                match file.read_bytes(&mut piece[filled..]).map_err(failed)? {
                    0 => break,
                    read => filled += read,
                }
            }
            if filled == 0 {
                return Ok(());
            }
            piece.truncate(filled);
            self.tell(Ask::Bytes(piece))?;
        }
    }

    fn tell(&self, ask: Ask) -> Result<(), WalkError> {
        self.asks.send(ask).map_err(|_| WalkError::Abandoned)
    }
}

/// The file system's bytes, which whoever holds the disk hands over.
struct Remote {
    asks: SyncSender<Ask>,
    answers: Receiver<Vec<u8>>,
    len: u64,
    budget: u64,
}

impl Remote {
    /// Refuses sizes from which the reader would make allocations.
    fn check_superblock(&mut self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut bytes = [0; 1024];
        self.read(1024, &mut bytes)?;
        let field =
            |at: usize| u64::from(u32::from_le_bytes(*bytes[at..].first_chunk().expect("within 1024")));
        const MAX_LOG_BLOCK_SIZE: u64 = 6;
        const LEAST_BLOCKS_PER_GROUP: u64 = 256;
        const MANY_BLOCKS: u64 = 0x80;
        let (log_block_size, per_group) = (field(0x18), field(0x20));
        let high = if field(0x60) & MANY_BLOCKS != 0 { field(0x150) } else { 0 };
        let blocks = high << 32 | field(0x04);
        if log_block_size > MAX_LOG_BLOCK_SIZE || per_group < LEAST_BLOCKS_PER_GROUP {
            return Err("the superblock gives impossible sizes".into());
        }
        if blocks > self.len >> (10 + log_block_size) {
            return Err("the file system is larger than its partition".into());
        }
        Ok(())
    }
}

impl Ext4Read for Remote {
    fn read(&mut self, start_byte: u64, dst: &mut [u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
        let end = start_byte.checked_add(dst.len() as u64);
        if end.is_none_or(|end| end > self.len) || dst.len() > MAX_READ {
            return Err("the file system points outside of itself".into());
        }
        let cost = COST_OF_A_READ.max(dst.len() as u64);
        self.budget = self.budget.checked_sub(cost).ok_or("the file system does not come to an end")?;
        self.asks.send(Ask::Read { offset: start_byte, len: dst.len() })?;
        let answer = self.answers.recv()?;
        if answer.len() != dst.len() {
            return Err("the disk gave another amount than was asked for".into());
        }
        dst.copy_from_slice(&answer);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;
    use std::sync::LazyLock;
    use std::sync::mpsc::sync_channel;
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    /// A file system without checksums, so that what is changed is looked at.
    static IMAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let tree = folder.path().join("tree");
        fs::create_dir_all(tree.join("boot/efi/EFI/debian")).unwrap();
        fs::write(tree.join("boot/efi/EFI/debian/x.efi"), vec![3; 40_000]).unwrap();
        for index in 0..100 {
            fs::write(tree.join(format!("boot/efi/EFI/file{index}")), [index; 100]).unwrap();
        }
        let image = folder.path().join("image");
        let status = Command::new("mke2fs")
            .args(["-q", "-F", "-b", "1024", "-t", "ext4", "-O", "^metadata_csum,^64bit", "-N", "256", "-d"])
            .args([&tree, &image])
            .arg("2M")
            .status();
        assert!(status.unwrap().success());
        fs::read(image).unwrap()
    });

    /// What the walk ends with, and how many files and bytes it told.
    fn walk_over(image: &[u8]) -> (Result<(), WalkError>, u64, u64) {
        let (told, asks) = sync_channel(2);
        let (answer, answers) = sync_channel(1);
        let len = image.len() as u64;
        let walker = thread::spawn(move || walk(len, &["boot", "efi", "EFI"], &told, answers));
        let (mut files, mut bytes) = (0, 0);
        for ask in &asks {
            match ask {
                Ask::Read { offset, len } => {
                    let start = offset as usize;
                    answer.send(image[start..start + len].to_vec()).unwrap();
                }
                Ask::Directory(_) => {}
                Ask::File(_) => files += 1,
                Ask::Bytes(piece) => bytes += piece.len() as u64,
            }
        }
        let panicked = |_| Err(WalkError::Unreadable("panic".into()));
        (walker.join().unwrap_or_else(panicked), files, bytes)
    }

    #[test]
    fn all_files_are_told() {
        let (result, files, bytes) = walk_over(&IMAGE);
        result.unwrap();
        assert_eq!((files, bytes), (101, 50_000));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn damaged_file_systems_come_to_an_end(
            // Superblock, descriptors, and the blocks behind them: bitmaps, inodes, folders.
            changes in prop::collection::vec((1024..120_000usize, prop_oneof![Just(0), Just(1), Just(255), any::<u8>()]), 1..12),
        ) {
            let mut image = IMAGE.clone();
            for (at, value) in changes {
                image[at] = value;
            }
            let (_, files, bytes) = walk_over(&image);
            prop_assert!(files <= MAX_ENTRIES as u64 && bytes <= MAX_BYTES);
        }
    }
}
