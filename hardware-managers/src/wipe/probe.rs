//! Finding signatures in a region of a disk.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;

use tacit_blockdev::{AlignedBuf, Device, Error};

use super::{follow, signatures};

/// How much at each end of a region is read in one go, and later zeroed.
pub(super) const EDGE: u64 = 1 << 20;

/// A disk as a whole or one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    /// `disk` or `partition N`.
    pub(super) name: String,
    /// Bytes from the start of the disk.
    pub(super) start: u64,
    pub(super) length: u64,
}

/// A signature that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: &'static str,
    /// Bytes from the start of the disk.
    pub(super) offset: u64,
    /// How much goes with it: its magic, or the structure that it begins.
    pub(super) length: u64,
    pub(super) shared: bool,
}

/// How far findings are followed to where they lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// To all copies of them.
    Copies,
    /// No further than guards need it.
    Guards,
}

/// Reads between the edges of regions that are left for a disk. What is on it is a tenant's: overlapping partitions
/// full of superblocks could otherwise ask for work without end. A hundred partitions need a fifth of it.
#[derive(Debug)]
pub(super) struct Budget(Cell<u32>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(1 << 17))
    }
}

impl Budget {
    fn take(&self) -> io::Result<()> {
        let left = self.0.get().checked_sub(1).ok_or_else(|| {
            io::Error::other(
                "tables and superblocks on it lead to more places than can be looked at; erase it as a whole",
            )
        })?;
        self.0.set(left);
        Ok(())
    }
}

/// Looks for every signature at all of its places, and for the copies that the found ones lead to.
pub(super) fn probe(
    device: &Device,
    region: &Region,
    how_far: Follow,
    budget: &Budget,
) -> Result<Vec<Found>, Error> {
    let reader = Reader::new(device, region, budget)?;
    let mut found: Hits = BTreeMap::new();
    for signature in signatures::all() {
        for offset in signature.places.iter().flat_map(|place| place.offsets(region.length)) {
            if reader.holds(offset, signature.magic)? {
                let length = signature.magic.len() as u64;
                add(&mut found, reader.found(signature.name, offset, length, signature.shared));
            }
        }
    }
    for copy in follow::copies(&reader, how_far)? {
        add(&mut found, copy);
    }
    Ok(found.into_values().collect())
}

type Hits = BTreeMap<(u64, &'static str), Found>;

fn add(found: &mut Hits, hit: Found) {
    // One structure can be reached in several ways.
    let length = hit.length;
    let known = found.entry((hit.offset, hit.name)).or_insert(hit);
    known.length = known.length.max(length);
}

/// Both ends of a region in memory: nearly all places lie there, and direct reads of single sectors are slow.
pub(super) struct Reader<'a> {
    device: &'a Device,
    region: &'a Region,
    budget: &'a Budget,
    head: AlignedBuf,
    tail: AlignedBuf,
    edge: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(device: &'a Device, region: &'a Region, budget: &'a Budget) -> Result<Self, Error> {
        let edge = usize::try_from(EDGE.min(region.length)).expect("bounded by EDGE");
        let (mut head, mut tail) = (AlignedBuf::new(edge), AlignedBuf::new(edge));
        device.read_at(region.start, &mut head[..edge])?;
        device.read_at(region.start + region.length - edge as u64, &mut tail[..edge])?;
        Ok(Self { device, region, budget, head, tail, edge })
    }

    /// Bytes of the region.
    pub(super) fn length(&self) -> u64 {
        self.region.length
    }

    /// A finding, with its offset in the region; it does not reach past the region's end.
    pub(super) fn found(&self, name: &'static str, offset: u64, length: u64, shared: bool) -> Found {
        let length = length.min(self.region.length.saturating_sub(offset));
        Found { name, offset: self.region.start + offset, length, shared }
    }

    /// Whether the bytes at an offset of the region are these; what is not within the region is not.
    pub(super) fn holds(&self, offset: u64, magic: &[u8]) -> Result<bool, Error> {
        if let Some(bytes) = self.cached(offset, magic.len()) {
            return Ok(bytes == magic);
        }
        Ok(self.bytes(offset, magic.len())?.is_some_and(|bytes| bytes == magic))
    }

    /// Bytes at an offset of the region; `None` where they do not lie within it.
    pub(super) fn bytes(&self, offset: u64, length: usize) -> Result<Option<Vec<u8>>, Error> {
        if let Some(bytes) = self.cached(offset, length) {
            return Ok(Some(bytes.to_vec()));
        }
        if offset.checked_add(length as u64).is_none_or(|end| end > self.region.length) {
            return Ok(None);
        }
        let start = self.region.start + offset;
        self.budget.take().map_err(|source| Error::Read {
            device: self.device.path().to_owned(),
            offset: start,
            length: length as u64,
            source,
        })?;
        let mut bytes = vec![0; length];
        self.device.read_at(start, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The same where it needs no reading.
    fn cached(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let end = offset.checked_add(length as u64)?;
        let within = |buffer: &'_ [u8], from: u64| {
            let from = usize::try_from(from).ok()?;
            Some((from, from.checked_add(length)?))
                .filter(|(_, end)| *end <= self.edge && *end <= buffer.len())
        };
        if end <= self.edge as u64 {
            let (from, end) = within(&self.head, offset)?;
            return Some(&self.head[from..end]);
        }
        let tail = self.region.length - self.edge as u64;
        if offset >= tail && end <= self.region.length {
            let (from, end) = within(&self.tail, offset - tail)?;
            return Some(&self.tail[from..end]);
        }
        None
    }
}
