//! The folders and files of an ISO 9660 image (ECMA-119), by their best names: Rock Ridge, Joliet, or the plain ones
//! as Linux shows them.

use std::collections::HashSet;
use std::ops::Range;

/// Folders and files together; a config drive has some tens.
const MAX_ENTRIES: usize = 4096;
const MAX_DEPTH: usize = 32;
const MAX_DESCRIPTORS: usize = 64;
const MAX_CONTINUATIONS: usize = 32;
/// Size of a volume descriptor, and of the blocks that they lie in, in bytes.
const DESCRIPTOR: usize = 2048;
const FIRST_DESCRIPTOR: usize = 16 * DESCRIPTOR;

/// A folder or file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Relative to the root, without a slash at its start. Folders come before what they hold.
    pub(super) path: String,
    /// A file's bytes in the image.
    pub(super) content: Option<Range<usize>>,
}

pub(crate) fn is_iso(image: &[u8]) -> bool {
    image.get(FIRST_DESCRIPTOR..).is_some_and(|rest| rest.starts_with(b"\x01CD001"))
}

/// Lists all there is, without symbolic links and special files.
///
/// # Errors
///
/// What is wrong with the image.
pub(super) fn list(image: &[u8]) -> Result<Vec<Node>, &'static str> {
    let (mut plain, mut joliet) = (None, None);
    for index in 0..MAX_DESCRIPTORS {
        let start = FIRST_DESCRIPTOR + index * DESCRIPTOR;
        let descriptor = image.get(start..start + DESCRIPTOR).ok_or("the volume descriptors do not end")?;
        if &descriptor[1..6] != b"CD001" {
            return Err("there is something else among the volume descriptors");
        }
        match descriptor[0] {
            1 if plain.is_none() => plain = Some(descriptor),
            2 if matches!(&descriptor[88..91], b"%/@" | b"%/C" | b"%/E") => joliet = Some(descriptor),
            255 => break,
            _ => {}
        }
    }
    let plain = plain.ok_or("there is no primary volume descriptor")?;
    let mut reader = Reader::new(image, plain, Names::Plain)?;
    if let Some(skip) = reader.rock_ridge()? {
        reader.names = Names::RockRidge { skip };
    } else if let Some(joliet) = joliet {
        reader = Reader::new(image, joliet, Names::Joliet)?;
    }
    let root = reader.root.clone();
    reader.folder(root, "", 0)?;
    Ok(reader.nodes)
}

#[derive(Clone, Copy)]
enum Names {
    Plain,
    Joliet,
    /// So many bytes at the start of each system use area belong to someone else.
    RockRidge {
        skip: usize,
    },
}

struct Reader<'a> {
    image: &'a [u8],
    /// Size of a logical block in bytes.
    block: usize,
    root: Range<usize>,
    names: Names,
    nodes: Vec<Node>,
    /// Where the folders begin that were read: none is read twice, so there are no circles.
    seen: HashSet<usize>,
    /// Of all files; one extent may be named by many.
    bytes: usize,
}

/// A directory record (ECMA-119 §9.1).
struct Record<'a> {
    extent: Range<usize>,
    flags: u8,
    name: &'a [u8],
    system_use: &'a [u8],
}

/// What Rock Ridge says about an entry.
#[derive(Default)]
struct Extra {
    name: Option<Vec<u8>>,
    mode: Option<u32>,
    /// Block of the folder that this is the place of.
    child: Option<usize>,
    /// A folder that has its place elsewhere.
    relocated: bool,
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes) as usize)
}

impl<'a> Reader<'a> {
    fn new(image: &'a [u8], descriptor: &[u8], names: Names) -> Result<Self, &'static str> {
        let block = usize::from(u16::from_le_bytes([descriptor[128], descriptor[129]]));
        if !(512..=DESCRIPTOR).contains(&block) || !block.is_power_of_two() {
            return Err("the logical blocks have an impossible size");
        }
        let mut reader =
            Self { image, block, root: 0..0, names, nodes: Vec::new(), seen: HashSet::new(), bytes: 0 };
        let (root, _) = reader.record(&descriptor[156..190])?.ok_or("there is no root folder")?;
        reader.root = root.extent;
        Ok(reader)
    }

    /// The record at the start of `bytes` and its length; `None` where the rest of the block is unused.
    fn record<'r>(&self, bytes: &'r [u8]) -> Result<Option<(Record<'r>, usize)>, &'static str> {
        let cut = "a directory record is cut off";
        let len = usize::from(*bytes.first().ok_or(cut)?);
        if len == 0 {
            return Ok(None);
        }
        let record = bytes.get(..len).filter(|record| record.len() >= 34).ok_or(cut)?;
        let name_len = usize::from(record[32]);
        let name = record.get(33..33 + name_len).ok_or(cut)?;
        let system_use = record.get((33 + name_len).next_multiple_of(2)..).unwrap_or_default();
        if record[26] != 0 || record[27] != 0 {
            return Err("a file is interleaved with others");
        }
        let (block, size) = (u32_at(record, 2).ok_or(cut)?, u32_at(record, 10).ok_or(cut)?);
        // Behind an extended attribute record, if there is one.
        let start = (block + usize::from(record[1])).checked_mul(self.block);
        let extent = start.and_then(|start| Some(start..start.checked_add(size)?));
        let extent = match extent {
            // An empty file may be said to lie anywhere.
            _ if size == 0 => 0..0,
            Some(extent) if extent.end <= self.image.len() => extent,
            _ => return Err("a file or folder does not lie within the image"),
        };
        Ok(Some((Record { extent, flags: record[25], name, system_use }, len)))
    }

    /// Whether the root folder begins with Rock Ridge's mark (SUSP §5.3), and what that says to skip.
    fn rock_ridge(&self) -> Result<Option<usize>, &'static str> {
        let Some((own, _)) = self.record(&self.image[self.root.clone()])? else { return Ok(None) };
        Ok(match own.system_use {
            [b'S', b'P', 7, 1, 0xbe, 0xef, skip, ..] => Some(usize::from(*skip)),
            _ => None,
        })
    }

    fn folder(&mut self, extent: Range<usize>, path: &str, depth: usize) -> Result<(), &'static str> {
        if depth > MAX_DEPTH {
            return Err("the folders are too deep");
        }
        if !self.seen.insert(extent.start) {
            return Err("a folder has more than one place");
        }
        // Records do not cross blocks.
        for block in self.image[extent].chunks(self.block) {
            let mut at = 0;
            while at < block.len() {
                let Some((record, len)) = self.record(&block[at..])? else { break };
                at += len;
                self.entry(&record, path, depth)?;
            }
        }
        Ok(())
    }

    fn entry(&mut self, record: &Record<'_>, path: &str, depth: usize) -> Result<(), &'static str> {
        const FOLDER: u8 = 0x02;
        const ASSOCIATED: u8 = 0x04;
        const CONTINUED: u8 = 0x80;
        // The folder itself, its parent, and the second fork of files of other systems.
        if matches!(record.name, [0] | [1]) || record.flags & ASSOCIATED != 0 {
            return Ok(());
        }
        let extra = match self.names {
            Names::RockRidge { skip } => self.extra(record.system_use, skip)?,
            Names::Plain | Names::Joliet => Extra::default(),
        };
        let kind = extra.mode.map(|mode| mode & 0o170_000);
        if extra.relocated || kind.is_some_and(|kind| !matches!(kind, 0o100_000 | 0o040_000)) {
            return Ok(());
        }
        let name = match (self.names, extra.name) {
            (Names::RockRidge { .. }, Some(name)) => {
                String::from_utf8(name).map_err(|_| "a name is not UTF-8")?
            }
            (Names::Joliet, _) => joliet_name(record.name)?,
            (Names::Plain | Names::RockRidge { .. }, _) => plain_name(record.name)?,
        };
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\0']) {
            return Err("a name is impossible");
        }
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        if self.nodes.len() == MAX_ENTRIES {
            return Err("there are too many files");
        }
        let child = extra.child.map(|block| self.relocated(block)).transpose()?;
        if child.is_none() && record.flags & FOLDER == 0 {
            if record.flags & CONTINUED != 0 {
                return Err("a file lies in several extents");
            }
            self.bytes += record.extent.len();
            if self.bytes > self.image.len() {
                return Err("the files together are larger than the image");
            }
            self.nodes.push(Node { path, content: Some(record.extent.clone()) });
            return Ok(());
        }
        self.nodes.push(Node { path: path.clone(), content: None });
        self.folder(child.unwrap_or(record.extent.clone()), &path, depth + 1)
    }

    /// A folder that lies too deep for ECMA-119 and has its place elsewhere: its own record tells its size.
    fn relocated(&self, block: usize) -> Result<Range<usize>, &'static str> {
        let start = block.checked_mul(self.block).filter(|start| *start < self.image.len());
        let start = start.ok_or("a file or folder does not lie within the image")?;
        match self.record(&self.image[start..])? {
            Some((own, _)) if own.extent.start == start => Ok(own.extent),
            _ => Err("a relocated folder is not where it should be"),
        }
    }

    /// System use entries (SUSP §4) of one record, and where they go on.
    fn extra(&self, system_use: &[u8], skip: usize) -> Result<Extra, &'static str> {
        let damaged = "a system use entry is cut off";
        let mut extra = Extra::default();
        let mut area = system_use.get(skip..).unwrap_or_default();
        for _ in 0..MAX_CONTINUATIONS {
            let mut next = None;
            while let [a, b, len, _, ..] = *area {
                let entry = area.get(..usize::from(len)).filter(|entry| entry.len() >= 4).ok_or(damaged)?;
                area = &area[entry.len()..];
                match &[a, b] {
                    b"CE" => {
                        let field = |at| u32_at(entry, at).ok_or(damaged);
                        let start = field(4)?
                            .checked_mul(self.block)
                            .and_then(|start| start.checked_add(field(12).ok()?));
                        let end = start.and_then(|start| start.checked_add(field(20).ok()?));
                        let range = start.zip(end).map(|(start, end)| start..end);
                        next = Some(range.and_then(|range| self.image.get(range)).ok_or(damaged)?);
                    }
                    b"NM" if entry.len() >= 5 => {
                        extra.name.get_or_insert_default().extend_from_slice(&entry[5..]);
                    }
                    b"PX" => extra.mode = u32_at(entry, 4).map(|mode| mode as u32),
                    b"CL" => extra.child = Some(u32_at(entry, 4).ok_or(damaged)?),
                    b"RE" => extra.relocated = true,
                    b"ST" => break,
                    _ => {}
                }
            }
            match next {
                Some(continued) => area = continued,
                None => return Ok(extra),
            }
        }
        Err("the system use entries do not end")
    }
}

/// As Linux shows it: lower case, without version and without the full stop of an empty extension.
fn plain_name(name: &[u8]) -> Result<String, &'static str> {
    let name = std::str::from_utf8(name).map_err(|_| "a name is not ASCII")?;
    let name = name.split(';').next().unwrap_or_default();
    Ok(name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase())
}

fn joliet_name(name: &[u8]) -> Result<String, &'static str> {
    let units = name.chunks_exact(2).map(|unit| u16::from_be_bytes([unit[0], unit[1]]));
    let name: String =
        char::decode_utf16(units).collect::<Result<_, _>>().map_err(|_| "a name is not Unicode")?;
    Ok(name.rsplit_once(';').map_or(name.as_str(), |(name, _)| name).to_owned())
}
