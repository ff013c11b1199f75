//! What is on a disk and what will be written to remove it.

use tacit_blockdev::{Device, Error};

use super::probe::{Budget, EDGE, Follow, Found, Region, probe};
use crate::partitions::{Partition, PartitionKind, Structure, scan_nested};

/// Signatures outside of the edges are removed with the block of this size around them.
const BLOCK: u64 = 4096;

/// The findings on one disk.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) disk_size: u64,
    /// Partitions first, inner ones before outer ones, the disk itself last: while its table stands, a wipe that was
    /// cut off can be repeated.
    pub(super) regions: Vec<(Region, Vec<Found>)>,
    pub(super) partitions: Vec<Partition>,
    pub(super) structures: Vec<Structure>,
    /// A file system that other machines may use, on something that stands upon the disk.
    pub(super) shared_above: Option<String>,
    /// What the first sector says of a medium with parameters, which this is not.
    pub(super) pretends: Option<&'static str>,
}

/// A range to be zeroed, in bytes from the start of the disk.
pub(super) type Extent = (u64, u64);

impl Plan {
    /// Probes the disk and every partition that a table on it names.
    pub(super) fn make(device: &Device, follow: Follow) -> Result<Self, Error> {
        let tables = scan_nested(device)?;
        let mut regions: Vec<Region> = tables
            .partitions
            .iter()
            .rev()
            .map(|part| Region { name: region_name(part), start: part.start, length: part.length })
            .collect();
        regions.push(Region { name: "disk".to_owned(), start: 0, length: device.size_bytes() });
        let budget = Budget::default();
        let regions = regions
            .into_iter()
            .map(|region| {
                let found = probe(device, &region, follow, &budget)?;
                Ok((region, found))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Self {
            disk_size: device.size_bytes(),
            regions,
            partitions: tables.partitions,
            structures: tables.structures,
            shared_above: None,
            pretends: None,
        })
    }

    /// Ranges to be zeroed for one region: both ends and the blocks around what was found between them; for the disk
    /// itself also every part of a partition table.
    pub(super) fn extents(&self, region: &Region, found: &[Found]) -> Vec<Extent> {
        let end = region.start + region.length;
        let edge = EDGE.min(region.length);
        let edges = [(region.start, edge), (end - edge, edge)];
        let mut between: Vec<Extent> =
            found.iter().map(|hit| self.block_around(hit.offset, hit.length)).collect();
        if region.length == self.disk_size {
            between.extend(self.structures.iter().map(|part| self.block_around(part.offset, part.length)));
        }
        between.retain(|inner| !edges.iter().any(|outer| covers(*outer, *inner)));
        between.extend(edges);
        between.sort_unstable();
        between.dedup();
        between
    }

    /// Everything that was found, in words, and where.
    pub(super) fn contents(&self) -> Vec<String> {
        let hits = self.regions.iter().flat_map(|(region, found)| found.iter().map(move |hit| (region, hit)));
        let hits =
            hits.map(|(region, hit)| format!("{}: {} at offset {}", region.name, hit.name, hit.offset));
        let tables = self.structures.iter().map(|part| format!("{} at offset {}", part.name, part.offset));
        cut(self.pretends.map(str::to_owned).into_iter().chain(hits).chain(tables))
    }

    fn block_around(&self, offset: u64, length: u64) -> Extent {
        let start = offset - offset % BLOCK;
        let end = (offset + length).next_multiple_of(BLOCK).min(self.disk_size);
        (start, end - start)
    }
}

/// Most lines of one kind about one region. A tenant's disk can hold more copies than anybody wants to read of.
const TOLD: usize = 256;

/// The first lines, and how many more there are.
pub(super) fn cut(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines = lines.fuse();
    let mut told: Vec<String> = lines.by_ref().take(TOLD).collect();
    let more = lines.count();
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    told
}

/// Slices have numbers of their own.
fn region_name(part: &Partition) -> String {
    match part.kind {
        PartitionKind::Gpt { .. } | PartitionKind::Mbr { .. } => format!("partition {}", part.number),
        PartitionKind::Slice { label, .. } => format!("{label} slice {}", part.number),
    }
}

fn covers(outer: Extent, inner: Extent) -> bool {
    outer.0 <= inner.0 && inner.0 + inner.1 <= outer.0 + outer.1
}
