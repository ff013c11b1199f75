//! What a decoder hands to the writers: where on the disk which bytes go, in no particular order and without overlap.

use std::ops::{Deref, Range};
use std::sync::Arc;

use crate::pool::Block;

/// A part of a block that others may hold as well.
#[derive(Clone)]
pub(crate) struct Slice {
    block: Arc<Block>,
    range: Range<usize>,
}

impl Slice {
    /// # Panics
    ///
    /// When the range does not lie within the block.
    pub(crate) fn new(block: Arc<Block>, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= block.len(), "a slice lies within its block");
        Self { block, range }
    }

    /// The part of this slice from `range.start` to `range.end`, counted from its own start.
    pub(crate) fn part(&self, range: Range<usize>) -> Self {
        Self::new(Arc::clone(&self.block), self.range.start + range.start..self.range.start + range.end)
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.range.clone()]
    }
}

/// One piece of work for a writer. Offsets are bytes of the disk image.
pub(crate) enum Extent {
    Data {
        offset: u64,
        bytes: Slice,
    },
    /// Declared by the format: reads as zeros, however the disk does that.
    Hole {
        offset: u64,
        len: u64,
    },
    Packed(Packed),
}

/// Units that lie one behind the other on the disk and are unpacked by the writer, each for itself.
pub(crate) struct Packed {
    pub(crate) offset: u64,
    pub(crate) codec: UnitCodec,
    pub(crate) units: Vec<Unit>,
}

/// A compressed unit: a qcow2 cluster or a zstd frame.
pub(crate) struct Unit {
    /// Its bytes as served, in order.
    pub(crate) input: Vec<Slice>,
    /// Unpacked length in bytes; anything else is damage.
    pub(crate) len: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitCodec {
    /// Raw deflate (RFC 1951); what follows the declared length is not looked at, and after the stream's end is padding.
    Deflate,
    /// One zstd frame; what follows its end is padding (qcow2 rounds up to sectors).
    Zstd,
    /// One zstd frame of which only the first bytes are wanted (a qcow2 disk may end within its last cluster).
    ZstdHead,
}
