use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;

use super::header::Geometry;
use super::refusal::Refusal;
use super::segment::{self, Piece, Segment};

/// Most memory that the map of an image may take, in bytes: four bytes a compressed cluster make this enough for
/// 400 GB in clusters of 64 KiB. Runs of plain clusters take next to nothing.
pub(super) const LIMIT: usize = 16 << 20;
/// What an L2 table may cost apart from its records, while it is read or while the pass is within it.
const PER_TABLE: usize = 160;

/// Which part of the file is which part of the disk.
pub(super) struct Map {
    geometry: Geometry,
    /// By the file's order of their first pieces.
    segments: Vec<Segment>,
    /// Indices into `segments`, by the disk's order.
    by_guest: Vec<u32>,
}

/// Collects segments as long as there is memory for them.
pub(super) struct Collector {
    segments: Vec<Segment>,
    memory: usize,
}

impl Collector {
    /// For an image with so many L2 tables.
    ///
    /// # Errors
    ///
    /// [`Refusal::MapLarge`].
    pub(super) fn new(tables: usize) -> Result<Self, Refusal> {
        let mut new = Self { segments: Vec::new(), memory: 0 };
        new.count(tables.saturating_mul(PER_TABLE))?;
        new.segments.reserve_exact(tables);
        Ok(new)
    }

    /// # Errors
    ///
    /// [`Refusal::MapLarge`].
    pub(super) fn add(&mut self, segment: Segment) -> Result<(), Refusal> {
        self.count(segment.memory() - size_of::<Segment>())?;
        self.segments.push(segment);
        Ok(())
    }

    fn count(&mut self, bytes: usize) -> Result<(), Refusal> {
        self.memory = self.memory.saturating_add(bytes);
        if self.memory > LIMIT { Err(Refusal::MapLarge { limit: LIMIT }) } else { Ok(()) }
    }

    pub(super) fn finish(mut self, geometry: Geometry) -> Map {
        self.segments.sort_unstable_by_key(|segment| segment.first);
        let mut by_guest: Vec<u32> = (0..self.segments.len() as u32).collect();
        by_guest.sort_unstable_by_key(|&index| self.segments[index as usize].table);
        Map { geometry, segments: self.segments, by_guest }
    }
}

impl Map {
    /// All pieces in the file's order.
    pub(super) fn pieces(&self) -> Pieces<'_> {
        Pieces { geometry: self.geometry, waiting: &self.segments, active: BinaryHeap::new() }
    }

    /// The pieces of each L2 table, tables in the disk's order, each in the file's.
    pub(super) fn tables(&self) -> impl Iterator<Item = segment::Pieces<'_>> {
        self.by_guest.iter().map(|&index| self.segments[index as usize].pieces(self.geometry))
    }

    /// Ranges of guest clusters that are in the file, in the disk's order.
    fn present(&self) -> impl Iterator<Item = Range<u64>> {
        self.tables().flat_map(|pieces| {
            let mut runs: Vec<Range<u64>> = Vec::new();
            for piece in pieces {
                let run = piece.guest..piece.guest + piece.clusters();
                match runs.last_mut().filter(|last| last.end == run.start) {
                    Some(last) => last.end = run.end,
                    None => runs.push(run),
                }
            }
            runs.sort_unstable_by_key(|run| run.start);
            runs
        })
    }

    /// Ranges of guest clusters that are not in the file, as long as possible, in the disk's order.
    pub(super) fn absent(&self) -> impl Iterator<Item = Range<u64>> {
        let end = self.geometry.clusters();
        let mut at = 0;
        self.present().chain(std::iter::once(end..end)).filter_map(move |run| {
            let gap = at..run.start;
            at = run.end;
            (!gap.is_empty()).then_some(gap)
        })
    }
}

/// All pieces of an image in the file's order: the segments merged, of which only those are looked into that lie
/// around the place where the merge stands.
pub(super) struct Pieces<'m> {
    geometry: Geometry,
    /// Segments that begin further on.
    waiting: &'m [Segment],
    active: BinaryHeap<Reverse<Active<'m>>>,
}

struct Active<'m> {
    next: Piece,
    behind: segment::Pieces<'m>,
}

impl Active<'_> {
    fn key(&self) -> (u64, u64) {
        (self.next.host, self.next.guest)
    }
}

impl Ord for Active<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Active<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Active<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Active<'_> {}

impl Iterator for Pieces<'_> {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        while let Some((segment, behind)) = self.waiting.split_first()
            && self.active.peek().is_none_or(|Reverse(first)| segment.first <= first.next.host)
        {
            self.waiting = behind;
            let mut pieces = segment.pieces(self.geometry);
            if let Some(next) = pieces.next() {
                self.active.push(Reverse(Active { next, behind: pieces }));
            }
        }
        let mut first = self.active.peek_mut()?;
        match first.0.behind.next() {
            Some(next) => Some(std::mem::replace(&mut first.0.next, next)),
            None => Some(PeekMut::pop(first).0.next),
        }
    }
}
