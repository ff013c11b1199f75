//! Finding signatures in a region of a disk.

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

/// Looks for every signature at all of its places, and for the copies that the found ones lead to.
pub(super) fn probe(device: &Device, region: &Region) -> Result<Vec<Found>, Error> {
    let reader = Reader::new(device, region)?;
    let mut found: Vec<Found> = Vec::new();
    for signature in signatures::all() {
        for offset in signature.places.iter().flat_map(|place| place.offsets(region.length)) {
            if reader.holds(offset, signature.magic)? {
                let length = signature.magic.len() as u64;
                add(&mut found, reader.found(signature.name, offset, length, signature.shared));
            }
        }
    }
    for copy in follow::copies(&reader)? {
        add(&mut found, copy);
    }
    found.sort_by_key(|hit| hit.offset);
    Ok(found)
}

fn add(found: &mut Vec<Found>, hit: Found) {
    // One structure can be reached in several ways.
    if let Some(known) = found.iter_mut().find(|known| (known.name, known.offset) == (hit.name, hit.offset)) {
        known.length = known.length.max(hit.length);
        return;
    }
    found.push(hit);
}

/// Both ends of a region in memory: nearly all places lie there, and direct reads of single sectors are slow.
pub(super) struct Reader<'a> {
    device: &'a Device,
    region: &'a Region,
    head: AlignedBuf,
    tail: AlignedBuf,
    edge: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(device: &'a Device, region: &'a Region) -> Result<Self, Error> {
        let edge = usize::try_from(EDGE.min(region.length)).expect("bounded by EDGE");
        let (mut head, mut tail) = (AlignedBuf::new(edge), AlignedBuf::new(edge));
        device.read_at(region.start, &mut head[..edge])?;
        device.read_at(region.start + region.length - edge as u64, &mut tail[..edge])?;
        Ok(Self { device, region, head, tail, edge })
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
        let mut bytes = vec![0; length];
        self.device.read_at(self.region.start + offset, &mut bytes)?;
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
