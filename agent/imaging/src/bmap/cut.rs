//! Cutting one part of an image into ranges with data, and their digests.

use ring::digest::{Context, SHA256};

use super::make::BLOCK;
use super::map::Blocks;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// From which length on what reads as zeros is a hole, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Thresholds {
    /// Holes of the file, with the zeros that touch them.
    hole: u64,
    /// Zeros alone; not looked for when absent.
    zeros: Option<u64>,
}

impl Thresholds {
    pub(super) fn new(scan_zeros: bool) -> Self {
        Self { hole: BLOCK, zeros: scan_zeros.then_some(64 << 10) }
    }

    pub(super) fn scans(self) -> bool {
        self.zeros.is_some()
    }

    /// So that fewer ranges come out.
    pub(super) fn coarser(self) -> Self {
        let four = |length: u64| length.saturating_mul(4);
        Self { hole: four(self.hole), zeros: self.zeros.map(four) }
    }
}

/// Takes data, zeros and holes in order. Whether zeros are a hole is known when they end, so they are counted until
/// then, and hashed afterwards if they are not one.
pub(super) struct Cutter {
    thresholds: Thresholds,
    /// Up to here everything was taken.
    position: u64,
    /// First byte of the range in the making.
    open: Option<(u64, Context)>,
    /// Length of what was last taken and reads as zeros, in bytes.
    gap: u64,
    /// Of it, what is a hole of the file.
    gap_hole: u64,
    ranges: Vec<Blocks>,
}

impl Cutter {
    pub(super) fn new(thresholds: Thresholds, start: u64) -> Self {
        Self { thresholds, position: start, open: None, gap: 0, gap_hole: 0, ranges: Vec::new() }
    }

    pub(super) fn hole(&mut self, len: u64) {
        self.gap_hole += len;
        self.zeros(len);
    }

    pub(super) fn zeros(&mut self, len: u64) {
        self.gap += len;
        self.position += len;
    }

    pub(super) fn data(&mut self, bytes: &[u8]) {
        self.settle();
        self.feed(self.position, bytes);
        self.position += bytes.len() as u64;
    }

    /// The ranges, after all was taken.
    pub(super) fn finish(mut self) -> Vec<Blocks> {
        self.settle();
        self.close(self.position);
        self.ranges
    }

    /// Decides what the gap before `position` is.
    fn settle(&mut self) {
        let Thresholds { hole, zeros } = self.thresholds;
        let start = self.position - self.gap;
        if self.gap_hole >= hole || zeros.is_some_and(|zeros| self.gap >= zeros) {
            self.close(start);
        } else {
            let mut left = self.gap;
            while left > 0 {
                let piece = left.min(ZEROS.len() as u64);
                self.feed(start, &ZEROS[..piece as usize]);
                left -= piece;
            }
        }
        (self.gap, self.gap_hole) = (0, 0);
    }

    /// Adds to the open range, or begins one at `start`.
    fn feed(&mut self, start: u64, bytes: &[u8]) {
        let (_, context) = self.open.get_or_insert_with(|| (start, Context::new(&SHA256)));
        context.update(bytes);
    }

    fn close(&mut self, end: u64) {
        if let Some((start, context)) = self.open.take() {
            self.ranges.push(Blocks {
                first: start / BLOCK,
                last: (end - 1) / BLOCK,
                sha256: context.finish().into(),
            });
        }
    }
}
