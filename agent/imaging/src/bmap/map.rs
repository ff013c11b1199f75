use std::fmt;
use std::ops::Range;

use ring::digest::{SHA256, digest};

use super::error::BmapError;
use super::{parse, xml};

/// Smallest and largest block size in bytes; bmaptool reads whole blocks within a MiB.
const BLOCK_SIZES: std::ops::RangeInclusive<u64> = 512..=1 << 20;

/// A sha256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256(pub [u8; 32]);

impl Sha256 {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::from(digest(&SHA256, bytes))
    }

    /// Reads 64 hexadecimal digits in any case.
    pub(super) fn parse(hex: &str) -> Option<Self> {
        let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
        let hex: &[u8; 64] = hex.as_bytes().try_into().ok()?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl From<ring::digest::Digest> for Sha256 {
    fn from(digest: ring::digest::Digest) -> Self {
        Self(digest.as_ref().try_into().expect("a sha256 has 32 bytes"))
    }
}

/// Lower-case hexadecimal.
impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Version of the format that a map was read in. All are written as 2.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BmapVersion {
    /// The last one before digests other than SHA-1; only read when it names sha256 nevertheless.
    V1_3,
    /// The same as 2.0, given out under this number by mistake.
    V1_4,
    V2_0,
}

impl BmapVersion {
    pub fn name(self) -> &'static str {
        match self {
            Self::V1_3 => "1.3",
            Self::V1_4 => "1.4",
            Self::V2_0 => "2.0",
        }
    }
}

/// Blocks that hold data, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) sha256: Sha256,
}

/// Bytes of the image that hold data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MappedRange {
    /// The last range ends with the image, even within a block.
    pub bytes: Range<u64>,
    pub sha256: Sha256,
}

/// A checked block map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bmap {
    version: BmapVersion,
    image_size: u64,
    block_size: u64,
    mapped_blocks: u64,
    ranges: Box<[Blocks]>,
}

impl Bmap {
    /// Largest map that is read, in bytes.
    pub const MAX_BYTES: usize = 16 << 20;
    /// Most ranges that a map has: as many as surely fit in [`Self::MAX_BYTES`].
    pub const MAX_RANGES: usize = 120_000;

    /// Reads a map as it is stored: XML of version 1.3, 1.4 or 2.0.
    ///
    /// # Errors
    ///
    /// [`BmapError`], also when the map's own checksum is wrong or a range has no sha256.
    pub fn parse(bytes: &[u8]) -> Result<Self, BmapError> {
        parse::parse(bytes)
    }

    pub(super) fn new(
        version: BmapVersion,
        image_size: u64,
        block_size: u64,
        ranges: Vec<Blocks>,
    ) -> Result<Self, BmapError> {
        if image_size == 0 || image_size > i64::MAX as u64 {
            return Err(BmapError::ImageSize(image_size));
        }
        if !block_size.is_power_of_two() || !BLOCK_SIZES.contains(&block_size) {
            return Err(BmapError::BlockSize(block_size));
        }
        if ranges.len() > Self::MAX_RANGES {
            return Err(BmapError::TooManyRanges { limit: Self::MAX_RANGES });
        }
        let blocks = image_size.div_ceil(block_size);
        let (mut free, mut mapped_blocks) = (0, 0);
        for &Blocks { first, last, .. } in &ranges {
            if last >= blocks {
                return Err(BmapError::Beyond { first, last, blocks });
            }
            if first < free || last < first {
                return Err(BmapError::Order { first, last });
            }
            mapped_blocks += last - first + 1;
            free = last + 1;
        }
        Ok(Self { version, image_size, block_size, mapped_blocks, ranges: ranges.into() })
    }

    pub fn version(&self) -> BmapVersion {
        self.version
    }

    /// Length of the image in bytes.
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Bytes that the map counts by.
    pub fn block_size(&self) -> u64 {
        self.block_size
    }

    pub fn block_count(&self) -> u64 {
        self.image_size.div_ceil(self.block_size)
    }

    pub fn mapped_blocks(&self) -> u64 {
        self.mapped_blocks
    }

    /// Bytes of the image that lie in a range.
    pub fn mapped_bytes(&self) -> u64 {
        let cut = match self.ranges.last() {
            Some(range) if range.last + 1 == self.block_count() => {
                self.block_count() * self.block_size - self.image_size
            }
            _ => 0,
        };
        self.mapped_blocks * self.block_size - cut
    }

    pub(super) fn blocks(&self) -> &[Blocks] {
        &self.ranges
    }

    /// One of [`Self::ranges`] by its place in them.
    pub fn range(&self, index: usize) -> Option<MappedRange> {
        self.ranges.get(index).map(|blocks| self.in_bytes(blocks))
    }

    /// The mapped ranges, ascending. One may begin where the one before it ends.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = MappedRange> + Clone {
        self.ranges.iter().map(|blocks| self.in_bytes(blocks))
    }

    /// What lies between, before and behind the ranges, in bytes, ascending.
    pub fn holes(&self) -> impl Iterator<Item = Range<u64>> {
        let ends = std::iter::once(0).chain(self.ranges().map(|range| range.bytes.end));
        let starts = self.ranges().map(|range| range.bytes.start).chain(std::iter::once(self.image_size));
        ends.zip(starts).filter(|(end, start)| end < start).map(|(end, start)| end..start)
    }

    /// Place of the first range that ends behind `offset`; the count of ranges when none does.
    pub(crate) fn first_behind(&self, offset: u64) -> usize {
        self.ranges.partition_point(|blocks| self.in_bytes(blocks).bytes.end <= offset)
    }

    fn in_bytes(&self, blocks: &Blocks) -> MappedRange {
        // Neither overflows: the last block begins within the image, whose size is below 2⁶³.
        let end = ((blocks.last + 1) * self.block_size).min(self.image_size);
        MappedRange { bytes: blocks.first * self.block_size..end, sha256: blocks.sha256 }
    }
}

/// The map as it is stored, version 2.0.
impl fmt::Display for Bmap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&xml::write(self))
    }
}
