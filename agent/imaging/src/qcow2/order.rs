use super::refusal::{Part, Refusal};

/// Compressed data are counted in sectors of this many bytes.
pub(super) const SECTOR: u64 = 512;

/// Checks that nothing in the file lies on something else. Is told what lies where in ascending order.
pub(super) struct Order {
    part: Part,
    start: u64,
    end: u64,
}

impl Order {
    /// Nothing lies anywhere yet.
    pub(super) fn new() -> Self {
        Self { part: Part::Data, start: 0, end: 0 }
    }

    /// # Errors
    ///
    /// [`Refusal::Overlap`]. A compressed cluster may begin in the last sector of the one before: lengths are rounded
    /// up to sectors.
    pub(super) fn place(&mut self, part: Part, start: u64, end: u64) -> Result<(), Refusal> {
        let shares_sector = part == Part::Packed
            && self.part == Part::Packed
            && start > self.start
            && start + SECTOR >= self.end;
        if start < self.end && !shares_sector {
            return Err(Refusal::Overlap { part, offset: start, before: self.part, end: self.end });
        }
        *self = Self { part, start, end };
        Ok(())
    }
}
