use std::ops::Range;

use super::header::{Geometry, Header, be64};
use super::map::{Collector, Map};
use super::order::{Order, SECTOR};
use super::refusal::{Part, Refusal, SurveyError};
use super::segment::Builder;
use super::watch::{Seal, Sealed};

/// Most bytes that are read at once.
pub(super) const READ: u64 = 1 << 20;
/// What lies between two tables is read as well when it is shorter: asking costs more.
pub(super) const GAP: u64 = 128 << 10;

/// Offsets have 56 bits; everything is aligned to sectors at least.
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
const COPIED: u64 = 1 << 63;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;

/// Reads a range of the file.
pub(super) type Read<'r, E> = dyn FnMut(u64, &mut [u8]) -> Result<(), E> + 'r;

/// Where an L2 table lies, and which one it is.
#[derive(Clone, Copy)]
struct Table {
    offset: u64,
    index: u32,
}

/// What is read to know an image, and how.
pub(super) struct Tables<'t, 'r, E> {
    pub(super) header: &'t Header,
    /// Length of the file in bytes.
    pub(super) file: Option<u64>,
    pub(super) read: &'t mut Read<'r, E>,
}

impl<E> Tables<'_, '_, E> {
    /// Reads all tables; `fixed` seals the L1 table as well.
    pub(super) fn read(&mut self, fixed: &mut Seal) -> Result<(Map, Sealed), SurveyError<E>> {
        let geometry = self.header.geometry;
        let l1 = self.header.l1_offset..self.header.l1_offset + u64::from(self.header.l1_entries) * 8;
        self.within(Part::L1, l1.start, l1.end)?;
        let tables = self.l1(fixed)?;
        // Before any of them is read.
        check_order(geometry, &l1, tables.iter().map(|table| table.offset), std::iter::empty())?;
        let (map, sealed) = self.l2(&tables)?;
        let starts = tables.iter().map(|table| table.offset);
        let pieces = map.pieces().map(|piece| (piece.part(), piece.host..piece.end(geometry)));
        check_order(geometry, &l1, starts, pieces)?;
        Ok((map, sealed))
    }

    /// The L2 tables in the file's order.
    fn l1(&mut self, fixed: &mut Seal) -> Result<Vec<Table>, SurveyError<E>> {
        let needed = self.header.geometry.tables() * 8;
        let mut buf = vec![0; needed.min(READ) as usize];
        let mut tables = Vec::new();
        let mut at = 0;
        while at < needed {
            let bytes = &mut buf[..(needed - at).min(READ) as usize];
            let offset = self.header.l1_offset + at;
            (self.read)(offset, bytes).map_err(SurveyError::Read)?;
            fixed.add(offset, bytes);
            for entry in (0..bytes.len()).step_by(8) {
                let index = ((at + entry as u64) / 8) as u32;
                if let Some(offset) = self.l1_entry(be64(bytes, entry))? {
                    tables.push(Table { offset, index });
                }
            }
            // Checks how many there may be.
            Collector::new(tables.len())?;
            at += bytes.len() as u64;
        }
        tables.sort_unstable_by_key(|table| table.offset);
        Ok(tables)
    }

    fn l1_entry(&self, entry: u64) -> Result<Option<u64>, Refusal> {
        if entry & !(OFFSET | COPIED) != 0 {
            return Err(Refusal::Reserved { entry });
        }
        let (offset, cluster) = (entry & OFFSET, self.header.geometry.cluster());
        if offset == 0 {
            return Ok(None);
        }
        if !offset.is_multiple_of(cluster) {
            return Err(Refusal::Unaligned { part: Part::L2, offset });
        }
        self.within(Part::L2, offset, offset + cluster)?;
        Ok(Some(offset))
    }

    fn within(&self, part: Part, start: u64, end: u64) -> Result<(), Refusal> {
        match self.file {
            Some(file) if end > file => Err(Refusal::Outside { part, offset: start, file }),
            _ => Ok(()),
        }
    }

    fn l2(&mut self, tables: &[Table]) -> Result<(Map, Sealed), SurveyError<E>> {
        let geometry = self.header.geometry;
        let cluster = geometry.cluster();
        let mut map = Collector::new(tables.len())?;
        let mut builder = Builder::new(geometry);
        let mut seal = Seal::new();
        let mut buf = Vec::new();
        for group in groups(tables, cluster) {
            let (start, end) = (group[0].offset, group[group.len() - 1].offset + cluster);
            // A group is longer than one reading only when it is a single table.
            for at in (start..end).step_by(READ as usize) {
                buf.resize((end - at).min(READ) as usize, 0);
                (self.read)(at, &mut buf).map_err(SurveyError::Read)?;
                for table in group {
                    let part = table.offset.max(at)..(table.offset + cluster).min(at + READ);
                    let bytes = &buf[(part.start - at) as usize..(part.end - at) as usize];
                    seal.add(part.start, bytes);
                    if part.start == table.offset {
                        builder.begin(table.index);
                    }
                    self.entries(table, (part.start - table.offset) / 8, bytes, &mut builder)?;
                    if part.end == table.offset + cluster
                        && let Some(segment) = builder.finish()?
                    {
                        map.add(segment)?;
                    }
                }
            }
        }
        Ok((map.finish(geometry), seal.finish()))
    }

    /// Looks at the entries of a table from `first` on.
    fn entries(&self, table: &Table, first: u64, bytes: &[u8], builder: &mut Builder) -> Result<(), Refusal> {
        let geometry = self.header.geometry;
        let base = u64::from(table.index) * geometry.per_table();
        // What is behind the disk's end is not part of it.
        let used = (geometry.clusters() - base).saturating_sub(first).min(bytes.len() as u64 / 8) as usize;
        for (entry, within) in bytes[..used * 8].chunks_exact(8).zip(first as u32..) {
            let entry = be64(entry, 0);
            if entry & COMPRESSED != 0 {
                self.packed(within, entry, builder)?;
            } else {
                self.plain(base, within, entry, builder)?;
            }
        }
        Ok(())
    }

    fn plain(&self, base: u64, within: u32, entry: u64, builder: &mut Builder) -> Result<(), Refusal> {
        let geometry = self.header.geometry;
        if entry & !(OFFSET | COPIED | ZERO) != 0 {
            return Err(Refusal::Reserved { entry });
        }
        let (offset, cluster, zero) = (entry & OFFSET, geometry.cluster(), entry & ZERO != 0);
        if zero && self.header.version == 2 {
            return Err(Refusal::ZeroInVersion2);
        }
        if !offset.is_multiple_of(cluster) {
            return Err(Refusal::Unaligned { part: Part::Data, offset });
        }
        if zero || offset == 0 {
            return Ok(());
        }
        let len = geometry.len(base + u64::from(within), 1);
        self.within(Part::Data, offset, offset + len)?;
        builder.plain(within, offset);
        Ok(())
    }

    fn packed(&self, within: u32, entry: u64, builder: &mut Builder) -> Result<(), Refusal> {
        let geometry = self.header.geometry;
        let count_bits = geometry.cluster_bits - 8;
        let count_at = 62 - count_bits;
        let offset = entry & ((1 << count_at) - 1);
        let sectors = (entry >> count_at & ((1 << count_bits) - 1)) + 1;
        if offset >> 56 != 0 {
            return Err(Refusal::Reserved { entry });
        }
        // What does not become shorter is not stored compressed; one sector more for where it begins.
        if sectors > geometry.cluster() / SECTOR + 1 {
            return Err(Refusal::PackedLong { offset });
        }
        // The file may end within the last sector.
        let end = offset / SECTOR * SECTOR + sectors * SECTOR;
        self.within(Part::Packed, offset, (end - SECTOR).max(offset) + 1)?;
        builder.packed(within, offset, sectors as u32);
        Ok(())
    }
}

/// Tables that are read together: neighbours, as many as one reading holds.
fn groups(tables: &[Table], cluster: u64) -> impl Iterator<Item = &[Table]> {
    let mut rest = tables;
    std::iter::from_fn(move || {
        let start = rest.first()?.offset;
        let joined = rest
            .windows(2)
            .take_while(|pair| {
                pair[1].offset - (pair[0].offset + cluster) <= GAP && pair[1].offset + cluster - start <= READ
            })
            .count();
        let (group, behind) = rest.split_at(joined + 1);
        rest = behind;
        Some(group)
    })
}

/// Checks that nothing lies on something else; all iterators are in the file's order.
fn check_order(
    geometry: Geometry,
    l1: &Range<u64>,
    l2: impl Iterator<Item = u64>,
    pieces: impl Iterator<Item = (Part, Range<u64>)>,
) -> Result<(), Refusal> {
    let cluster = geometry.cluster();
    let mut order = Order::new();
    order.place(Part::Header, 0, cluster)?;
    let mut l1 = std::iter::once(l1.clone()).peekable();
    let mut l2 = l2.peekable();
    let mut pieces = pieces.peekable();
    loop {
        let starts = [
            l1.peek().map(|range| range.start),
            l2.peek().copied(),
            pieces.peek().map(|(_, range)| range.start),
        ];
        let Some(first) = starts.iter().flatten().min().copied() else { return Ok(()) };
        let (part, range) = match starts.iter().position(|start| *start == Some(first)) {
            Some(0) => (Part::L1, l1.next().expect("it was seen")),
            Some(1) => (Part::L2, l2.next().map(|start| start..start + cluster).expect("it was seen")),
            _ => pieces.next().expect("it was seen"),
        };
        order.place(part, range.start, range.end)?;
    }
}
