//! Finding signatures in a region of a disk.

use tacit_blockdev::{AlignedBuf, Device, Error};

use super::signatures::SIGNATURES;

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
    pub(super) length: u64,
    pub(super) shared: bool,
}

/// Looks for every signature at all of its places.
pub(super) fn probe(device: &Device, region: &Region) -> Result<Vec<Found>, Error> {
    let reader = Reader::new(device, region)?;
    let mut found: Vec<Found> = Vec::new();
    for signature in SIGNATURES {
        for offset in signature.places.iter().flat_map(|place| place.offsets(region.length)) {
            if reader.holds(offset, signature.magic)? {
                let hit = Found {
                    name: signature.name,
                    offset: region.start + offset,
                    length: signature.magic.len() as u64,
                    shared: signature.shared,
                };
                if !found.contains(&hit) {
                    found.push(hit);
                }
            }
        }
    }
    found.sort_by_key(|hit| hit.offset);
    Ok(found)
}

/// Both ends of a region in memory: nearly all places lie there, and direct reads of single sectors are slow.
struct Reader<'a> {
    device: &'a Device,
    region: &'a Region,
    head: AlignedBuf,
    tail: AlignedBuf,
}

impl<'a> Reader<'a> {
    fn new(device: &'a Device, region: &'a Region) -> Result<Self, Error> {
        let edge = usize::try_from(EDGE.min(region.length)).expect("bounded by EDGE");
        let (mut head, mut tail) = (AlignedBuf::new(edge), AlignedBuf::new(edge));
        device.read_at(region.start, &mut head[..edge])?;
        device.read_at(region.start + region.length - edge as u64, &mut tail[..edge])?;
        Ok(Self { device, region, head, tail })
    }

    fn holds(&self, offset: u64, magic: &[u8]) -> Result<bool, Error> {
        let length = self.region.length;
        let edge = EDGE.min(length);
        let Some(end) = offset.checked_add(magic.len() as u64).filter(|end| *end <= length) else {
            return Ok(false);
        };
        let within = |buffer: &AlignedBuf, from: u64| {
            let from = usize::try_from(from).expect("bounded by EDGE");
            &buffer[from..from + magic.len()] == magic
        };
        if end <= edge {
            return Ok(within(&self.head, offset));
        }
        if offset >= length - edge {
            return Ok(within(&self.tail, offset - (length - edge)));
        }
        let mut bytes = vec![0; magic.len()];
        self.device.read_at(self.region.start + offset, &mut bytes)?;
        Ok(bytes == magic)
    }
}
