//! The areas of a disk from which firmware starts, kept zero on the disk and held in memory until the image is verified.

use std::ops::Range;

use crate::target::{Target, TargetError};

/// Length of the held-back start and of the held-back end of a disk, in bytes.
pub(crate) const EDGE: u64 = 1 << 20;
/// Fewer bytes than these two and something in between make no disk.
pub(crate) const MINIMUM_DISK: u64 = 3 * EDGE;

/// A target of which some areas exist in memory only.
pub(crate) struct Veil<'t> {
    target: &'t dyn Target,
    /// In order, without overlap.
    areas: Vec<Area>,
    sector: u64,
}

struct Area {
    start: u64,
    bytes: Vec<u8>,
}

impl Area {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
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
        let mut areas: Vec<Area> = Vec::new();
        for range in ranges {
            match areas.last_mut() {
                Some(last) if range.start <= last.end() => {
                    let end = last.end().max(range.end);
                    last.bytes.resize((end - last.start) as usize, 0);
                }
                _ => areas
                    .push(Area { start: range.start, bytes: vec![0; (range.end - range.start) as usize] }),
            }
        }
        Self { target, areas, sector: target.logical_sector().into() }
    }

    /// Zeroes the areas on the disk. Tries all of them, whatever happens.
    pub(crate) fn close(&self) -> Result<(), TargetError> {
        let mut result = Ok(());
        for area in &self.areas {
            let zeroed = self.target.zero(area.start, area.bytes.len() as u64);
            result = result.and(zeroed);
        }
        result.and(self.target.flush())
    }

    fn spans(&self, offset: u64, len: u64) -> Vec<Span> {
        let end = offset + len;
        let mut at = offset;
        let mut spans = Vec::new();
        for (index, area) in self.areas.iter().enumerate() {
            let (start, stop) = (area.start.max(at), area.end().min(end));
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
    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), TargetError> {
        for span in self.spans(offset, bytes.len() as u64) {
            match span {
                Span::Held { area, range } => {
                    let area = &mut self.areas[area];
                    let to = (range.start - area.start) as usize..(range.end - area.start) as usize;
                    let from = (range.start - offset) as usize..(range.end - offset) as usize;
                    area.bytes[to].copy_from_slice(&bytes[from]);
                }
                Span::Open { range } => {
                    let from = &bytes[(range.start - offset) as usize..(range.end - offset) as usize];
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

    /// Large enough and aligned, so that the device can do it without data being moved.
    fn worth_zeroing(&self, range: &Range<u64>) -> bool {
        range.end - range.start >= EDGE / 2
            && range.start.is_multiple_of(self.sector)
            && range.end.is_multiple_of(self.sector)
    }

    /// Makes a range zero, on the disk or in memory.
    pub(crate) fn zero(&mut self, offset: u64, len: u64) -> Result<(), TargetError> {
        for span in self.spans(offset, len) {
            match span {
                Span::Held { area, range } => {
                    let area = &mut self.areas[area];
                    area.bytes[(range.start - area.start) as usize..(range.end - area.start) as usize]
                        .fill(0);
                }
                Span::Open { range } => self.target.zero(range.start, range.end - range.start)?,
            }
        }
        Ok(())
    }

    /// Reads what the disk will hold once revealed.
    pub(crate) fn read(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        for span in self.spans(offset, buf.len() as u64) {
            match span {
                Span::Held { area, range } => {
                    let area = &self.areas[area];
                    let from = (range.start - area.start) as usize..(range.end - area.start) as usize;
                    let to = (range.start - offset) as usize..(range.end - offset) as usize;
                    buf[to].copy_from_slice(&area.bytes[from]);
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
    pub(crate) fn lift(&self) -> Result<(), TargetError> {
        let size = self.target.size_bytes();
        let first = self.first_blocks();
        let last = (size / self.sector - 1) * self.sector;
        for area in &self.areas {
            let start = area.start.max(first);
            let end = area.end().min(last);
            if start < end {
                let bytes = &area.bytes[(start - area.start) as usize..(end - area.start) as usize];
                self.target.write_at(start, bytes)?;
            }
        }
        self.target.flush()?;
        let tail = self.areas.last().expect("the end of the disk is always an area");
        self.target.write_at(last, &tail.bytes[(last - tail.start) as usize..])?;
        self.target.flush()?;
        self.target.write_at(0, &self.areas[0].bytes[..first as usize])?;
        self.target.flush()
    }

    /// MBR and primary header: written last of all.
    fn first_blocks(&self) -> u64 {
        (2 * self.sector).max(4096)
    }

    /// Offset of the first byte that the disk gives back differently from what was revealed.
    pub(crate) fn first_difference(&self) -> Result<Option<u64>, TargetError> {
        for area in &self.areas {
            let mut found = tacit_blockdev::AlignedBuf::new(area.bytes.len());
            self.target.read_at(area.start, &mut found)?;
            if let Some(index) = found.iter().zip(&area.bytes).position(|(found, written)| found != written) {
                return Ok(Some(area.start + index as u64));
            }
        }
        Ok(None)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(4096).all(|chunk| chunk.iter().fold(0, |all, byte| all | byte) == 0)
}
