use crate::extent::{Packed, Unit, UnitCodec};

/// A batch does not reach across a multiple of so many bytes of the disk: one write each. Larger clusters are batches
/// of their own.
const BATCH: u64 = 1 << 20;

/// Compressed clusters that lie one behind the other on the disk, on their way to one writer.
#[derive(Default)]
pub(super) struct Batch {
    packed: Option<Packed>,
    /// Where on the disk the batch ends.
    end: u64,
    /// Where in the file its first unit begins.
    from: u64,
}

impl Batch {
    /// Adds a unit that begins at `offset` on the disk and at `from` in the file, and returns the batch before if the
    /// unit does not go into it. [`Self::full`] is to be asked next.
    pub(super) fn add(&mut self, offset: u64, from: u64, codec: UnitCodec, unit: Unit) -> Option<Packed> {
        let len = unit.len;
        let fits = |packed: &&mut Packed| {
            self.end == offset && packed.codec == codec && !offset.is_multiple_of(BATCH)
        };
        let before = match self.packed.as_mut().filter(fits) {
            Some(packed) => {
                packed.units.push(unit);
                None
            }
            None => {
                self.from = from;
                self.packed.replace(Packed { offset, codec, units: vec![unit] })
            }
        };
        self.end = offset + len;
        before
    }

    /// The batch, if nothing more goes into it.
    pub(super) fn full(&mut self) -> Option<Packed> {
        if self.end.is_multiple_of(BATCH) { self.packed.take() } else { None }
    }

    /// The batch, if it begins before `offset` in the file.
    pub(super) fn before(&mut self, offset: u64) -> Option<Packed> {
        if self.from < offset { self.packed.take() } else { None }
    }
}
