//! Descriptions of disk images and block maps, for people and as JSON.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;
use tacit_imaging::{Bmap, DiskSize, ImageInfo, InspectError, Inspected, Qcow2Info, TableInfo, inspect};

use super::bytes::{Bytes, Share};
use super::error::DiskImageError;
use crate::info::Info;
use crate::manifest;

/// A disk image, however packed, or what else is no medium and no map.
#[derive(Debug, Serialize)]
pub struct DiskImage {
    /// By content: `raw`, `qcow2`, or a format that is not written.
    format: Option<&'static str>,
    /// `gzip`, `xz` or `zstd`.
    packed: Option<&'static str>,
    size_bytes: u64,
    virtual_size_bytes: Option<u64>,
    /// Whether the virtual size is only the least that it can be.
    virtual_size_at_least: bool,
    qcow2: Option<Qcow2>,
    partition_table: Option<PartitionTable>,
    /// Why there is no partition table.
    partition_table_problem: Option<String>,
    /// Why no disk takes it.
    refused: Option<String>,
}

#[derive(Debug, Serialize)]
struct Qcow2 {
    version: u32,
    cluster_size_bytes: Option<u64>,
    compression: Option<&'static str>,
    allocated_bytes: Option<u64>,
}

#[derive(Debug, Serialize)]
struct PartitionTable {
    label: &'static str,
    sector_size_bytes: u32,
    partitions: Vec<Partition>,
}

#[derive(Debug, Serialize)]
struct Partition {
    number: u32,
    name: Option<String>,
    /// Type GUID, or the type byte of an MBR in hexadecimal.
    #[serde(rename = "type")]
    kind: Option<String>,
    guid: Option<String>,
    start_bytes: u64,
    size_bytes: u64,
}

/// A block map.
#[derive(Debug, Serialize)]
pub struct BlockMap {
    version: &'static str,
    size_bytes: u64,
    /// Of the map itself: what pins it.
    sha256: String,
    image_size_bytes: u64,
    block_size_bytes: u64,
    mapped_bytes: u64,
    ranges: usize,
    largest_range_bytes: u64,
}

/// Tells what a file is that is neither a medium nor an EFI program.
///
/// # Errors
///
/// [`DiskImageError::Inspect`], also when it is a block map and damaged.
pub fn describe(path: &Path) -> Result<Info, DiskImageError> {
    Ok(match inspect(path)? {
        Inspected::Image(info) => Info::DiskImage(DiskImage::from(*info)),
        Inspected::Map(map) => {
            let bytes = fs::read(path).map_err(|source| InspectError::Io {
                doing: "read",
                path: path.to_owned(),
                source,
            })?;
            Info::BlockMap(BlockMap::new(&map, &bytes))
        }
    })
}

impl From<ImageInfo> for DiskImage {
    fn from(info: ImageInfo) -> Self {
        let ImageInfo { file_bytes, format, packed, disk, qcow2, table, refused } = info;
        let (partition_table, partition_table_problem) = match table {
            None => (None, None),
            Some(Ok(table)) => (Some(PartitionTable::from(table)), None),
            Some(Err(problem)) => (None, Some(problem.to_string())),
        };
        Self {
            format,
            packed,
            size_bytes: file_bytes,
            virtual_size_bytes: disk.map(|DiskSize { bytes, .. }| bytes),
            virtual_size_at_least: disk.is_some_and(|disk| !disk.exact),
            qcow2: qcow2.map(Qcow2::from),
            partition_table,
            partition_table_problem,
            refused: refused.map(|failure| with_causes(&failure)),
        }
    }
}

fn with_causes(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

impl From<Qcow2Info> for Qcow2 {
    fn from(info: Qcow2Info) -> Self {
        let Qcow2Info { version, cluster_bytes, compression, allocated_bytes } = info;
        Self { version, cluster_size_bytes: cluster_bytes, compression, allocated_bytes }
    }
}

impl From<TableInfo> for PartitionTable {
    fn from(table: TableInfo) -> Self {
        // What a table says about an image whose size is not known may be anything.
        let bytes = |blocks: u64| blocks.saturating_mul(table.sector.into());
        let partitions = table.partitions.into_iter().map(|partition| Partition {
            number: partition.number,
            kind: partition.type_guid.or(partition.type_byte.map(|byte| format!("0x{byte:02x}"))),
            name: partition.name.filter(|name| !name.is_empty()),
            guid: partition.guid,
            start_bytes: bytes(partition.start_lba),
            size_bytes: bytes(partition.size_lba),
        });
        Self { label: table.kind.name(), partitions: partitions.collect(), sector_size_bytes: table.sector }
    }
}

impl BlockMap {
    pub(super) fn new(map: &Bmap, bytes: &[u8]) -> Self {
        let lengths = map.ranges().map(|range| range.bytes.end - range.bytes.start);
        Self {
            version: map.version().name(),
            size_bytes: bytes.len() as u64,
            sha256: manifest::sha256(bytes),
            image_size_bytes: map.image_size(),
            block_size_bytes: map.block_size(),
            mapped_bytes: map.mapped_bytes(),
            ranges: map.ranges().len(),
            largest_range_bytes: lengths.max().unwrap_or(0),
        }
    }
}

impl fmt::Display for DiskImage {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "kind     disk image\nformat   {}", self.format.unwrap_or("not known"))?;
        if let Some(packed) = self.packed {
            write!(out, ", packed as {packed}")?;
        }
        write!(out, "\nsize     {}", Bytes(self.size_bytes))?;
        if let Some(bytes) = self.virtual_size_bytes {
            let least = if self.virtual_size_at_least { "at least " } else { "" };
            write!(out, "\nvirtual  {least}{}", Bytes(bytes))?;
        }
        if let Some(Qcow2 { version, cluster_size_bytes, compression, allocated_bytes }) = &self.qcow2 {
            write!(out, "\nqcow2    version {version}")?;
            if let Some(bytes) = cluster_size_bytes {
                write!(out, ", clusters of {} KiB", *bytes as f64 / 1024.0)?;
            }
            write!(out, ", compression {}", compression.unwrap_or("not known"))?;
            if let (Some(bytes), Some(whole)) = (allocated_bytes, self.virtual_size_bytes) {
                write!(out, "\nholds    {}, {} of the disk", Bytes(*bytes), Share(*bytes, whole))?;
            }
        }
        if let Some(table) = &self.partition_table {
            write!(out, "\ntable    {}", table.label)?;
            write!(out, ", made for sectors of {} bytes", table.sector_size_bytes)?;
            for Partition { number, name, kind, start_bytes, size_bytes, .. } in &table.partitions {
                write!(out, "\npart {number:<3} {} at {start_bytes}", Bytes(*size_bytes))?;
                for text in [kind, name].into_iter().flatten() {
                    write!(out, ", {}", text.escape_debug())?;
                }
            }
        }
        if let Some(problem) = &self.partition_table_problem {
            write!(out, "\ntable    none: {problem}")?;
        }
        if let Some(reason) = &self.refused {
            write!(out, "\nrefused  {reason}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BlockMap {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mapped, whole) = (self.mapped_bytes, self.image_size_bytes);
        writeln!(out, "kind     block map, version {}", self.version)?;
        writeln!(out, "size     {}\nsha256   {}", Bytes(self.size_bytes), self.sha256)?;
        writeln!(out, "image    {}, blocks of {} bytes", Bytes(whole), self.block_size_bytes)?;
        writeln!(out, "mapped   {}, {} of the image", Bytes(mapped), Share(mapped, whole))?;
        write!(out, "ranges   {}, the largest has {}", self.ranges, Bytes(self.largest_range_bytes))
    }
}
