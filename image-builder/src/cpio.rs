//! Writes `newc` cpio archives, the ramdisk's format (the kernel's buffer-format.rst), the same bytes every time.
//!
//! Entries are sorted by path, belong to root, carry the time 0 and are numbered in that order.

use std::collections::BTreeMap;
use std::io::{self, Write};

const TRAILER: &str = "TRAILER!!!";
const DIRECTORY: u32 = 0o040_000;
const CHARACTER_DEVICE: u32 = 0o020_000;
const REGULAR: u32 = 0o100_000;

/// An archive under construction. Paths are absolute; missing parent folders are made with mode 0755.
#[derive(Debug, Default)]
pub struct Archive {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    /// Type and permissions.
    mode: u32,
    /// Major and minor number of a device.
    device: (u32, u32),
    data: Vec<u8>,
}

impl Archive {
    /// Adds a folder; `mode` is its permissions.
    pub fn directory(&mut self, path: &str, mode: u32) {
        self.insert(path, Entry { mode: DIRECTORY | mode, ..Entry::default() });
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, data: Vec<u8>) {
        self.insert(path, Entry { mode: REGULAR | mode, data, ..Entry::default() });
    }

    /// Adds a character device.
    pub fn character_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) {
        self.insert(
            path,
            Entry { mode: CHARACTER_DEVICE | mode, device: (major, minor), ..Entry::default() },
        );
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        for (end, _) in path.match_indices('/') {
            let parent = Entry { mode: DIRECTORY | 0o755, ..Entry::default() };
            self.entries.entry(path[..end].to_owned()).or_insert(parent);
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// Exact length of what [`Self::write_to`] writes.
    pub fn len(&self) -> u64 {
        let entries: u64 = self.entries.iter().map(|(path, entry)| entry_len(path, entry.data.len())).sum();
        entries + entry_len(TRAILER, 0)
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// Those of `out`, and `InvalidInput` for a file of 4 GiB or more, which the format cannot hold.
    pub fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let entries = self.entries.iter().map(|(path, entry)| (path.as_str(), entry));
        for (number, (path, entry)) in (1..).zip(entries) {
            write_entry(out, number, path, entry)?;
        }
        write_entry(out, 0, TRAILER, &Entry::default())
    }
}

fn entry_len(path: &str, data: usize) -> u64 {
    (aligned(110 + path.len() + 1) + aligned(data)) as u64
}

fn aligned(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn write_entry(out: &mut impl Write, number: u32, path: &str, entry: &Entry) -> io::Result<()> {
    let size = u32::try_from(entry.data.len())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("{path}: too large for cpio")))?;
    let links = if entry.mode & 0o170_000 == DIRECTORY { 2 } else { 1 };
    let name_size = path.len() + 1;
    let (major, minor) = entry.device;
    // magic, inode, mode, uid, gid, links, mtime, size, device, rdevice, name size, checksum (unused)
    write!(
        out,
        "070701{number:08x}{mode:08x}{zero:08x}{zero:08x}{links:08x}{zero:08x}{size:08x}{zero:08x}{zero:08x}{major:08x}\
         {minor:08x}{name_size:08x}{zero:08x}{path}\0",
        mode = entry.mode,
        zero = 0,
    )?;
    pad(out, 110 + name_size)?;
    out.write_all(&entry.data)?;
    pad(out, entry.data.len())
}

fn pad(out: &mut impl Write, written: usize) -> io::Result<()> {
    out.write_all(&[0; 3][..aligned(written) - written])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Read = (String, u32, (u32, u32), Vec<u8>);

    /// An independent reader: path, mode, device and data of every entry, with all alignments checked.
    fn read(archive: &[u8]) -> Vec<Read> {
        let mut at = 0;
        let mut entries = Vec::new();
        loop {
            let field = |index: usize| {
                let start = at + 6 + index * 8;
                u32::from_str_radix(str::from_utf8(&archive[start..start + 8]).unwrap(), 16).unwrap()
            };
            assert_eq!(&archive[at..at + 6], b"070701");
            assert_eq!((field(2), field(3), field(5)), (0, 0, 0), "owner and time");
            let name = &archive[at + 110..at + 110 + field(11) as usize];
            let name = str::from_utf8(name.strip_suffix(b"\0").unwrap()).unwrap().to_owned();
            let data = (at + 110 + field(11) as usize).div_ceil(4) * 4;
            let end = data + field(6) as usize;
            if name == "TRAILER!!!" {
                assert_eq!(end, archive.len());
                return entries;
            }
            assert_eq!(field(0) as usize, entries.len() + 1, "inode numbers follow each other");
            entries.push((name, field(1), (field(9), field(10)), archive[data..end].to_vec()));
            at = end.div_ceil(4) * 4;
        }
    }

    fn written(archive: &Archive) -> Vec<u8> {
        let mut bytes = Vec::new();
        archive.write_to(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, archive.len());
        bytes
    }

    #[test]
    fn parents_come_first_and_types_are_kept() {
        let mut archive = Archive::default();
        archive.file("/lib/modules/a.ko", 0o644, b"abcde".to_vec());
        archive.character_device("/dev/console", 0o600, 5, 1);
        archive.directory("/tmp", 0o1777);
        let entries = read(&written(&archive));
        let expected = [
            ("dev", 0o040_755, (0, 0), &b""[..]),
            ("dev/console", 0o020_600, (5, 1), b""),
            ("lib", 0o040_755, (0, 0), b""),
            ("lib/modules", 0o040_755, (0, 0), b""),
            ("lib/modules/a.ko", 0o100_644, (0, 0), b"abcde"),
            ("tmp", 0o041_777, (0, 0), b""),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(path, mode, device, data)| (path.to_string(), *mode, *device, data.to_vec()))
            .collect();
        assert_eq!(entries, expected);
    }

    proptest! {
        #[test]
        fn any_files_are_read_back_sorted_below_existing_folders(
            files in proptest::collection::btree_map("f[a-z.-]{0,9}", proptest::collection::vec(any::<u8>(), 0..50), 0..9),
            folder in "d[a-z]{0,5}(/[a-z]{1,5}){0,3}",
            shuffled in any::<bool>(),
        ) {
            let mut archive = Archive::default();
            let mut order: Vec<_> = files.iter().collect();
            if shuffled {
                order.reverse();
            }
            for (name, data) in order {
                archive.file(&format!("/{folder}/{name}"), 0o644, data.clone());
            }
            let entries = read(&written(&archive));
            prop_assert!(entries.windows(2).all(|pair| pair[0].0 < pair[1].0));
            for (path, ..) in &entries {
                if let Some((parent, _)) = path.rsplit_once('/') {
                    prop_assert!(entries.iter().any(|(path, mode, ..)| path == parent && *mode == 0o040_755));
                }
            }
            let read_back: Vec<_> = entries.into_iter().filter(|(_, mode, ..)| *mode == 0o100_644).collect();
            prop_assert_eq!(read_back.len(), files.len());
            for ((path, _, _, data), (name, expected)) in read_back.iter().zip(&files) {
                prop_assert_eq!(path, &format!("{folder}/{name}"));
                prop_assert_eq!(data, expected);
            }
        }
    }
}
