//! Files of an ISO 9660 file system, by their Rock Ridge names where it has them. Whatever it holds is not trusted:
//! lengths are bounded before anything is read, and every walk ends.

use std::io::{self, Read, Seek, SeekFrom};

const BLOCK: usize = 2048;
/// The first 16 blocks are the system's own.
const FIRST_DESCRIPTOR: u64 = 16;
const DESCRIPTORS: u64 = 16;
/// More than any boot medium has in one directory.
const DIRECTORY_LIMIT: u32 = 256 * 1024;

const PRIMARY: u8 = 1;
const END: u8 = 255;
const IS_DIRECTORY: u8 = 2;
const GOES_ON: u8 = 0x80;

/// An opened file system.
pub(super) struct Iso<R> {
    reader: R,
    root: Extent,
    pub(super) label: String,
    pub(super) publisher: String,
    /// When it was made, Unix time in seconds, if it tells.
    pub(super) made_at: Option<i64>,
}

#[derive(Clone, Copy)]
struct Extent {
    block: u32,
    bytes: u32,
    directory: bool,
}

struct Entry {
    name: Vec<u8>,
    extent: Extent,
    whole: bool,
}

impl<R: Read + Seek> Iso<R> {
    /// Reads the volume's description; nothing when there is no such file system.
    ///
    /// # Errors
    ///
    /// When the medium cannot be read.
    pub(super) fn open(mut reader: R) -> io::Result<Option<Self>> {
        for number in FIRST_DESCRIPTOR..FIRST_DESCRIPTOR + DESCRIPTORS {
            let mut block = [0; BLOCK];
            match read_at(&mut reader, number, &mut block) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                other => other?,
            }
            if &block[1..6] != b"CD001" || block[0] == END {
                return Ok(None);
            }
            if block[0] == PRIMARY {
                let own_size = usize::from(u16::from_le_bytes([block[128], block[129]])) == BLOCK;
                let Some(root) = entry(&block[156..190]).filter(|_| own_size) else { return Ok(None) };
                return Ok(Some(Self {
                    reader,
                    root: root.extent,
                    label: text(&block[40..72]),
                    publisher: text(&block[318..446]),
                    made_at: time(&block[813..830]),
                }));
            }
        }
        Ok(None)
    }

    /// The file at `path` (`openstack/latest/network_data.json`); nothing when there is none.
    ///
    /// # Errors
    ///
    /// When the medium cannot be read, or the file is larger than `limit` bytes or in pieces.
    pub(super) fn read(&mut self, path: &str, limit: u32) -> io::Result<Option<Vec<u8>>> {
        let Some(extent) = self.find(path)? else { return Ok(None) };
        if extent.directory || extent.bytes > limit {
            return Err(invalid(path, "is no file, or too large"));
        }
        self.extent(extent).map(Some)
    }

    /// Names in the directory at `path`, sorted; none when there is no such directory.
    ///
    /// # Errors
    ///
    /// When the medium cannot be read, or the directory is larger than any that is meant.
    pub(super) fn names(&mut self, path: &str) -> io::Result<Vec<String>> {
        let Some(extent) = self.find(path)?.filter(|extent| extent.directory) else { return Ok(Vec::new()) };
        let names =
            self.entries(path, extent)?.into_iter().filter_map(|entry| String::from_utf8(entry.name).ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }

    fn find(&mut self, path: &str) -> io::Result<Option<Extent>> {
        let mut extent = self.root;
        for name in path.split('/') {
            if !extent.directory {
                return Ok(None);
            }
            let entries = self.entries(path, extent)?;
            let Some(found) = entries.into_iter().find(|entry| entry.name == name.as_bytes()) else {
                return Ok(None);
            };
            if !found.whole {
                return Err(invalid(path, "is in pieces"));
            }
            extent = found.extent;
        }
        Ok(Some(extent))
    }

    fn entries(&mut self, path: &str, directory: Extent) -> io::Result<Vec<Entry>> {
        if directory.bytes > DIRECTORY_LIMIT {
            return Err(invalid(path, "a directory on its way is too large"));
        }
        self.extent(directory).map(|bytes| entries(&bytes))
    }

    /// To be called with a length that was checked.
    fn extent(&mut self, extent: Extent) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; extent.bytes as usize];
        read_at(&mut self.reader, u64::from(extent.block), &mut bytes)?;
        Ok(bytes)
    }
}

fn invalid(path: &str, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path}: {what}"))
}

fn read_at<R: Read + Seek>(reader: &mut R, block: u64, bytes: &mut [u8]) -> io::Result<()> {
    reader.seek(SeekFrom::Start(block * BLOCK as u64))?;
    reader.read_exact(bytes)
}

/// Records fill blocks from their start and do not cross their ends.
fn entries(directory: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for block in directory.chunks(BLOCK) {
        let mut rest = block;
        while let Some(length) = rest.first().map(|length| usize::from(*length)).filter(|length| *length > 0)
        {
            let Some(record) = rest.get(..length) else { break };
            entries.extend(entry(record));
            rest = &rest[length..];
        }
    }
    entries
}

fn entry(record: &[u8]) -> Option<Entry> {
    let number = |at: usize| Some(u32::from_le_bytes(record.get(at..at + 4)?.try_into().ok()?));
    let flags = *record.get(25)?;
    let name_length = usize::from(*record.get(32)?);
    let plain = record.get(33..33 + name_length)?;
    // The system's part begins at an even place.
    let system = record.get((33 + name_length).next_multiple_of(2)..).unwrap_or_default();
    Some(Entry {
        name: long_name(system).unwrap_or_else(|| plain_name(plain)),
        extent: Extent { block: number(2)?, bytes: number(10)?, directory: flags & IS_DIRECTORY != 0 },
        whole: flags & GOES_ON == 0,
    })
}

/// Rock Ridge's `NM`.
fn long_name(mut system: &[u8]) -> Option<Vec<u8>> {
    let mut name = None;
    while let [a, b, length, _version, ..] = system {
        let (kind, length) = ([*a, *b], usize::from(*length));
        let Some(field) = system.get(..length).filter(|field| field.len() >= 4) else { break };
        if kind == *b"NM" {
            name.get_or_insert_with(Vec::new).extend_from_slice(field.get(5..).unwrap_or_default());
        }
        system = &system[length..];
    }
    name
}

/// `VMLINUZ.;1` as people write it.
fn plain_name(name: &[u8]) -> Vec<u8> {
    let name = name.split(|byte| *byte == b';').next().unwrap_or_default();
    name.strip_suffix(b".").unwrap_or(name).to_ascii_lowercase()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches([' ', '\0']).to_owned()
}

/// `YYYYMMDDhhmmsscc` and the offset from Greenwich in quarters of an hour.
fn time(bytes: &[u8]) -> Option<i64> {
    let (digits, offset) = (bytes.get(..16)?, i64::from(bytes.get(16)?.cast_signed()));
    let number = |from: usize, to: usize| std::str::from_utf8(&digits[from..to]).ok()?.parse::<i64>().ok();
    let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
    if !(1970..2200).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days since 1970 in the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some(days * 86_400 + number(8, 10)? * 3_600 + number(10, 12)? * 60 + number(12, 14)? - offset * 900)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::Cursor;
    use std::process::Command;

    use super::*;

    const PUBLISHER: &str = "6676497a-9807-4587-bf49-a4484283f956";

    /// As Ironic makes it (`mkisofs -r -V … -l -publisher …`).
    fn medium(rock_ridge: bool) -> Vec<u8> {
        let work = tempfile::tempdir().unwrap();
        let tree = work.path().join("tree");
        fs::create_dir_all(tree.join("openstack/latest")).unwrap();
        fs::write(tree.join("openstack/latest/network_data.json"), r#"{"links": []}"#).unwrap();
        for number in 0..100 {
            fs::write(tree.join(format!("openstack/{number:04}-and-some-more-of-a-name.txt")), "x").unwrap();
        }
        fs::write(tree.join("vmlinuz"), vec![7; 5000]).unwrap();
        let out = work.path().join("medium.iso");
        let mut make = Command::new("xorrisofs");
        make.args(["-quiet", "-V", "config-2", "-l", "-publisher", PUBLISHER, "-o"]).arg(&out);
        if !rock_ridge {
            make.args(["--norock"]);
        }
        assert!(make.arg(&tree).status().unwrap().success());
        fs::read(out).unwrap()
    }

    #[test]
    fn a_medium_as_ironic_makes_it() {
        for rock_ridge in [true, false] {
            let mut iso = Iso::open(Cursor::new(medium(rock_ridge))).unwrap().unwrap();
            assert_eq!(iso.label, "config-2");
            // This maker writes it in capitals, Ironic's does not.
            assert!(iso.publisher.eq_ignore_ascii_case(PUBLISHER), "{}", iso.publisher);
            let made = iso.made_at.unwrap();
            assert!((crate::clock::unix_time() as i64 - made).abs() < 120, "{made}");
            assert_eq!(iso.read("vmlinuz", 5000).unwrap().unwrap(), vec![7; 5000]);
            assert!(iso.read("vmlinuz", 4999).is_err());
            assert!(iso.read("openstack", 5000).is_err());
            assert!(iso.read("vmlinuz/x", 5000).unwrap().is_none());
            assert!(iso.read("openstack/latest/user_data", 5000).unwrap().is_none());
            assert_eq!(iso.names("openstack").unwrap().iter().filter(|name| name.len() > 4).count(), 101);
            assert!(iso.names("vmlinuz").unwrap().is_empty() && iso.names("etc").unwrap().is_empty());
            let json = iso.read("openstack/latest/network_data.json", 5000).unwrap().unwrap();
            assert_eq!(json, br#"{"links": []}"#);
        }
    }

    #[test]
    fn what_is_no_such_file_system() {
        assert!(Iso::open(Cursor::new(Vec::new())).unwrap().is_none());
        assert!(Iso::open(Cursor::new(vec![0; 1 << 17])).unwrap().is_none());
        assert!(Iso::open(File::open("/dev/zero").unwrap()).unwrap().is_none());
    }

    /// Every byte of the description and of the directories, one at a time, is something else; and every length of file.
    #[test]
    fn nothing_on_a_medium_breaks_the_reader() {
        let mut medium = medium(true);
        let used = 16 * BLOCK..64 * BLOCK;
        for at in used.clone().step_by(13) {
            let right = medium[at];
            for value in [0, 1, 0x7f, 0xff] {
                medium[at] = value;
                probe(&medium);
            }
            medium[at] = right;
        }
        for length in used.step_by(1021) {
            probe(&medium[..length]);
        }
    }

    fn probe(bytes: &[u8]) {
        if let Ok(Some(mut iso)) = Iso::open(Cursor::new(bytes))
            && let Ok(Some(file)) = iso.read("openstack/latest/network_data.json", 4096)
        {
            assert!(file.len() <= 4096.min(bytes.len()));
        }
    }

    #[test]
    fn times() {
        assert_eq!(time(b"1970010100000000\0"), Some(0));
        assert_eq!(time(b"2026112113521700\0"), Some(1_795_269_137));
        assert_eq!(time(b"2024022923595900\x04"), Some(1_709_251_199 - 3600));
        for bad in [b"0000000000000000\0", b"2026132113521700\0", b"20261121 3521700\0"] {
            assert_eq!(time(bad), None);
        }
    }
}
