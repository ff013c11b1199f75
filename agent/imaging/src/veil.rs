//! The areas of a disk from which firmware starts, kept zero on the disk and held in memory until the image is verified.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::target::{Target, TargetError};

/// Length of the held-back start and of the held-back end of a disk, in bytes.
pub(crate) const EDGE: u64 = 1 << 20;
/// Fewer bytes than these two and something in between make no disk.
pub(crate) const MINIMUM_DISK: u64 = 3 * EDGE;

/// A target of which some areas exist in memory only. Several threads may write through it.
pub(crate) struct Veil<'t> {
    target: &'t dyn Target,
    /// In order, without overlap.
    areas: Vec<Area>,
    sector: u64,
    /// Whether the areas are zero on the disk; nothing else is written before they are.
    closed: Mutex<bool>,
    /// Whether anything at all was written to the disk.
    touched: AtomicBool,
}

struct Area {
    range: Range<u64>,
    bytes: Mutex<Vec<u8>>,
}

impl Area {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        // Plain bytes: whoever panicked left them no worse than half written, and then nothing is revealed.
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Indices of a range of the disk in this area.
    fn indices(&self, range: &Range<u64>) -> Range<usize> {
        (range.start - self.range.start) as usize..(range.end - self.range.start) as usize
    }
}

/// A piece of a range: inside an area, or on the disk itself.
enum Span {
    Held { area: usize, range: Range<u64> },
    Open { range: Range<u64> },
}

impl<'t> Veil<'t> {
    /// Holds back the edges of the disk (at least [`MINIMUM_DISK`] long) and `also`.
    pub(crate) fn new(target: &'t dyn Target, also: Option<Range<u64>>) -> Self {
        let size = target.size_bytes();
        let mut ranges = vec![0..EDGE, size - EDGE..size];
        ranges.extend(also);
        ranges.sort_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::new();
        for range in ranges {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        let area = |range: Range<u64>| {
            let bytes = Mutex::new(vec![0; (range.end - range.start) as usize]);
            Area { range, bytes }
        };
        Self {
            target,
            areas: merged.into_iter().map(area).collect(),
            sector: target.logical_sector().into(),
            closed: Mutex::new(false),
            touched: AtomicBool::new(false),
        }
    }

    /// Zeroes the areas on the disk, unless they are already. Tries all of them, whatever happens.
    pub(crate) fn close(&self) -> Result<(), TargetError> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Ok(());
        }
        self.touched.store(true, Ordering::Relaxed);
        let mut result = Ok(());
        for area in &self.areas {
            let zeroed = self.target.zero(area.range.start, area.range.end - area.range.start);
            result = result.and(zeroed);
        }
        result.and(self.target.flush())?;
        *closed = true;
        Ok(())
    }

    /// Zeroes the areas on the disk whatever was done to them before.
    pub(crate) fn close_again(&self) -> Result<(), TargetError> {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.close()
    }

    /// Whether anything was written to the disk.
    pub(crate) fn touched(&self) -> bool {
        self.touched.load(Ordering::Relaxed)
    }

    fn spans(&self, offset: u64, len: u64) -> Vec<Span> {
        let end = offset + len;
        let mut at = offset;
        let mut spans = Vec::new();
        for (index, area) in self.areas.iter().enumerate() {
            let (start, stop) = (area.range.start.max(at), area.range.end.min(end));
            if start >= stop {
                continue;
            }
            if at < start {
                spans.push(Span::Open { range: at..start });
            }
            spans.push(Span::Held { area: index, range: start..stop });
            at = stop;
        }
        if at < end {
            spans.push(Span::Open { range: at..end });
        }
        spans
    }

    /// Writes to the disk, except what lies in an area: that goes to memory.
    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        for span in self.spans(offset, bytes.len() as u64) {
            match span {
                Span::Held { area, range } => {
                    let from = (range.start - offset) as usize..(range.end - offset) as usize;
                    let area = &self.areas[area];
                    area.lock()[area.indices(&range)].copy_from_slice(&bytes[from]);
                }
                Span::Open { range } => {
                    let from = &bytes[(range.start - offset) as usize..(range.end - offset) as usize];
                    self.close()?;
                    if self.worth_zeroing(&range) && is_zero(from) {
                        self.target.zero(range.start, range.end - range.start)?;
                    } else {
                        self.target.write_at(range.start, from)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes only what the disk does not hold already; `scratch` is as long as `bytes` at least.
    pub(crate) fn update(&self, offset: u64, bytes: &[u8], scratch: &mut [u8]) -> Result<(), TargetError> {
        for span in self.spans(offset, bytes.len() as u64) {
            let range = match span {
                Span::Held { ref range, .. } | Span::Open { ref range } => range.clone(),
            };
            let from = &bytes[(range.start - offset) as usize..(range.end - offset) as usize];
            if let Span::Open { .. } = span {
                let present = &mut scratch[..from.len()];
                self.target.read_at(range.start, present)?;
                if *present == *from {
                    continue;
                }
            }
            self.write(range.start, from)?;
        }
        Ok(())
    }

    /// Takes over what the disk holds: the areas' parts of a range that needs no writing.
    pub(crate) fn adopt(&self, range: Range<u64>) -> Result<(), TargetError> {
        for span in self.spans(range.start, range.end - range.start) {
            if let Span::Held { area, range } = span {
                let area = &self.areas[area];
                self.target.read_at(range.start, &mut area.lock()[area.indices(&range)])?;
            }
        }
        Ok(())
    }

    /// Large enough and aligned, so that the device can do it without data being moved.
    fn worth_zeroing(&self, range: &Range<u64>) -> bool {
        range.end - range.start >= EDGE / 2
            && range.start.is_multiple_of(self.sector)
            && range.end.is_multiple_of(self.sector)
    }

    /// Makes a range zero, on the disk or in memory.
    pub(crate) fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.clear(offset, len, |range| self.target.zero(range.start, range.end - range.start))
    }

    /// Makes a range that the image declares as a hole zero, on the disk or in memory.
    pub(crate) fn deallocate(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.clear(offset, len, |range| self.target.deallocate(range.start, range.end - range.start))
    }

    fn clear(
        &self,
        offset: u64,
        len: u64,
        on_disk: impl Fn(Range<u64>) -> Result<(), TargetError>,
    ) -> Result<(), TargetError> {
        for span in self.spans(offset, len) {
            match span {
                Span::Held { area, range } => {
                    let area = &self.areas[area];
                    area.lock()[area.indices(&range)].fill(0);
                }
                Span::Open { range } => {
                    self.close()?;
                    on_disk(range)?;
                }
            }
        }
        Ok(())
    }

    /// Waits until what was written is on stable storage.
    pub(crate) fn flush(&self) -> Result<(), TargetError> {
        self.target.flush()
    }

    /// Reads what the disk will hold once revealed.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        for span in self.spans(offset, buf.len() as u64) {
            match span {
                Span::Held { area, range } => {
                    let area = &self.areas[area];
                    let to = (range.start - offset) as usize..(range.end - offset) as usize;
                    buf[to].copy_from_slice(&area.lock()[area.indices(&range)]);
                }
                Span::Open { range } => {
                    let to = &mut buf[(range.start - offset) as usize..(range.end - offset) as usize];
                    self.target.read_at(range.start, to)?;
                }
            }
        }
        Ok(())
    }

    /// Writes the areas, so that nothing is bootable before all else is on stable storage: first all but the blocks
    /// that make a table valid, then the backup header (last block), then the first blocks.
    ///
    /// Writes nothing when nothing was written before and the disk holds the areas already.
    pub(crate) fn lift(&self) -> Result<(), TargetError> {
        if !self.touched() && self.first_difference()?.is_none() {
            return Ok(());
        }
        self.close()?;
        let size = self.target.size_bytes();
        let first = self.first_blocks();
        let last = (size / self.sector - 1) * self.sector;
        // From here on something else than zeros may be there.
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = false;
        for area in &self.areas {
            let range = area.range.start.max(first)..area.range.end.min(last);
            if range.start < range.end {
                self.target.write_at(range.start, &area.lock()[area.indices(&range)])?;
            }
        }
        self.target.flush()?;
        let tail = self.areas.last().expect("the end of the disk is always an area");
        self.target.write_at(last, &tail.lock()[tail.indices(&(last..tail.range.end))])?;
        self.target.flush()?;
        self.target.write_at(0, &self.areas[0].lock()[..first as usize])?;
        self.target.flush()
    }

    /// MBR and primary header: written last of all.
    fn first_blocks(&self) -> u64 {
        (2 * self.sector).max(4096)
    }

    /// Offset of the first byte that the disk gives back differently from what the areas hold.
    pub(crate) fn first_difference(&self) -> Result<Option<u64>, TargetError> {
        for area in &self.areas {
            let wanted = area.lock();
            let mut found = tacit_blockdev::AlignedBuf::new(wanted.len());
            self.target.read_at(area.range.start, &mut found)?;
            if let Some(index) = found.iter().zip(&*wanted).position(|(found, wanted)| found != wanted) {
                return Ok(Some(area.range.start + index as u64));
            }
        }
        Ok(None)
    }
}

pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}
