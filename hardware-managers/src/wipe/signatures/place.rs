/// Offsets of a magic, relative to the region (disk or partition) it lies in.
#[derive(Clone, Copy, Debug)]
pub(in crate::wipe) struct Place {
    /// 0 counts from the start. Otherwise from the end, rounded down to this alignment, …
    pub(super) align: u64,
    /// … and this far back.
    pub(super) back: u64,
    pub(super) offset: u64,
    pub(super) count: u64,
    pub(super) step: u64,
}

pub(super) const fn at(offset: u64) -> Place {
    each(offset, 1, 0)
}

/// `count` places, `step` bytes apart.
pub(super) const fn each(offset: u64, count: u64, step: u64) -> Place {
    Place { align: 0, back: 0, offset, count, step }
}

/// So many bytes before the end.
pub(super) const fn end(back: u64) -> Place {
    end_aligned(1, back, 0)
}

/// From the end rounded down to `align`: `back` bytes towards the start, then `offset` forward.
pub(super) const fn end_aligned(align: u64, back: u64, offset: u64) -> Place {
    Place { align, back, offset, count: 1, step: 0 }
}

impl Place {
    /// Offsets in a region of `size` bytes; those that would lie before its start are left out.
    pub(in crate::wipe) fn offsets(self, size: u64) -> impl Iterator<Item = u64> {
        let base = if self.align == 0 {
            Some(self.offset)
        } else {
            (size - size % self.align).checked_sub(self.back).map(|base| base + self.offset)
        };
        base.into_iter().flat_map(move |base| (0..self.count).map(move |n| base + n * self.step))
    }
}
