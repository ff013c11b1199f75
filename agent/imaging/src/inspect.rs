//! What a file with an image is, without writing it anywhere.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::bounded;

use crate::bmap::{Bmap, BmapError};
use crate::error::Failure;
use crate::fetch::{Fetcher, Stop};
use crate::partition::{Partition, TableKind};
use crate::pool::BLOCK;
use crate::progress::Counters;
use crate::sniff::{Format, sniff};
use crate::source::{FileSource, RetryPolicy};
use crate::survey::{Content, Expected, Survey, survey};
use crate::table::{Table, TableError};
use crate::tail::ImageSize;

/// Logical sectors that a table without a statement about them is made for, in bytes.
const SECTOR: u32 = 512;

/// What a file turned out to be.
#[derive(Debug)]
pub enum Inspected {
    /// A disk image, or what else was given in place of one.
    Image(Box<ImageInfo>),
    Map(Bmap),
}

/// A disk image, as far as it can be known without reading all of it.
#[derive(Debug)]
pub struct ImageInfo {
    /// Length of the file in bytes.
    pub file_bytes: u64,
    /// What the content is, by its first bytes: `raw`, `qcow2`, or a format that is not written. `None` when the content
    /// of a packed image cannot be read.
    pub format: Option<&'static str>,
    /// How the file is packed: `gzip`, `xz` or `zstd`.
    pub packed: Option<&'static str>,
    /// Size of the disk in it.
    pub disk: Option<DiskSize>,
    pub qcow2: Option<Qcow2Info>,
    /// The partition table; absent when the beginning of the disk is not known.
    pub table: Option<Result<TableInfo, TableError>>,
    /// Why no disk takes this image.
    pub refused: Option<Failure>,
}

/// Size of the disk in an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSize {
    pub bytes: u64,
    /// Otherwise it may be larger: the packed file only hints at it.
    pub exact: bool,
}

/// What the header and the tables of a qcow2 image say. Of a refused image, only what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Qcow2Info {
    pub version: u32,
    /// Absent when it is impossible.
    pub cluster_bytes: Option<u64>,
    /// `zlib` or `zstd`: how compressed clusters, if there are any, are packed.
    pub compression: Option<&'static str>,
    /// Bytes of the disk that the file holds; the others read as zeros.
    pub allocated_bytes: Option<u64>,
}

/// The partition table of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    pub kind: TableKind,
    /// Logical sector size in bytes that the image is made for; for [`TableKind::Dos`], which does not tell, 512.
    pub sector: u32,
    pub partitions: Vec<Partition>,
}

/// Why a file could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a usable block map", path.display())]
    Map { path: PathBuf, source: BmapError },
}

/// Tells what a file is: a disk image, however packed, or a block map. Reads its first MiB, its end, and the tables of a
/// qcow2 image.
///
/// # Errors
///
/// [`InspectError`]. That an image would not be written is no error ([`ImageInfo::refused`]).
pub fn inspect(path: &Path) -> Result<Inspected, InspectError> {
    let failed = |doing| move |source| InspectError::Io { doing, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("examine"))?;
    if !metadata.is_file() {
        return Err(failed("inspect")(io::Error::other("it is not a regular file")));
    }
    let mut first = Vec::new();
    file.take(BLOCK as u64).read_to_end(&mut first).map_err(failed("read"))?;
    if is_map(&first) {
        let bytes = if metadata.len() <= Bmap::MAX_BYTES as u64 {
            fs::read(path).map_err(failed("read"))?
        } else {
            // Refused for its length, whatever is in it.
            vec![0; Bmap::MAX_BYTES + 1]
        };
        let map =
            Bmap::parse(&bytes).map_err(|source| InspectError::Map { path: path.to_owned(), source })?;
        return Ok(Inspected::Map(map));
    }
    Ok(Inspected::Image(Box::new(image(path, metadata.len(), &first))))
}

/// Whether this is the beginning of a block map.
pub(crate) fn is_map(first: &[u8]) -> bool {
    let text = first.trim_ascii_start();
    let root = || text.windows(5).take(64 << 10).any(|window| window == b"<bmap");
    text.starts_with(b"<bmap") || ((text.starts_with(b"<?xml") || text.starts_with(b"<!--")) && root())
}

fn image(path: &Path, file_bytes: u64, first: &[u8]) -> ImageInfo {
    let mut info = ImageInfo {
        file_bytes,
        format: None,
        packed: None,
        disk: None,
        qcow2: None,
        table: None,
        refused: None,
    };
    match sniff(first) {
        Format::Packed(codec) => info.packed = Some(codec.name()),
        format => info.format = Some(format.name()),
    }
    if info.format == Some("qcow2") {
        let header = header(first);
        info.disk = header.map(|(_, bytes)| DiskSize { bytes, exact: true });
        info.qcow2 = header.map(|(qcow2, _)| qcow2);
    }
    match surveyed(path, first) {
        Ok(Survey { content, head, size, .. }) => {
            match &content {
                Content::Qcow2(image) => {
                    let holes: u64 = image.holes().map(|hole| hole.end - hole.start).sum();
                    if let Some(qcow2) = &mut info.qcow2 {
                        qcow2.allocated_bytes = Some(image.size() - holes);
                    }
                }
                Content::Raw | Content::Packed(_) => info.format = Some("raw"),
            }
            info.disk = size.map(|ImageSize { bytes, exact }| DiskSize { bytes, exact });
            info.table = Some(table(&head, info.disk));
        }
        Err(failure) => {
            if let Failure::UnsupportedInside { format, .. } = &failure {
                info.format = Some(format);
            }
            info.refused = Some(failure);
        }
    }
    info
}

/// Surveys a file as it would be before it is written to a disk that is large enough.
fn surveyed(path: &Path, first: &[u8]) -> Result<Survey, Failure> {
    let retry = RetryPolicy { attempts: 1, first_delay: Duration::ZERO, ..RetryPolicy::default() };
    let (_wanted, abandoned) = bounded(0);
    let source = Box::new(FileSource::new(path));
    let mut fetcher = Fetcher::new(vec![source], retry, abandoned, Arc::new(Counters::default()))?;
    let expected = Expected { declared: None, device: "any disk".to_owned(), room: i64::MAX as u64 };
    let looked_at = (|| {
        // Opens the source, so that its length is known.
        let mut again = vec![0; first.len()];
        fetcher.fill(&mut again)?;
        survey(&mut fetcher, first, &expected)
    })();
    looked_at.map_err(|stop| match stop {
        Stop::Failed(failure) => failure,
        Stop::Abandoned => Failure::Internal("nobody gave up the survey"),
    })
}

fn table(head: &[u8], disk: Option<DiskSize>) -> Result<TableInfo, TableError> {
    let inspect = |sector: u32| {
        let bytes = disk.filter(|disk| disk.exact).map_or(u64::MAX, |disk| disk.bytes);
        let table = Table::inspect(head, sector, bytes / u64::from(sector))?;
        Ok(TableInfo { kind: table.kind(), sector, partitions: table.partitions() })
    };
    match inspect(SECTOR) {
        Err(TableError::SectorSize { image, .. }) => inspect(image),
        result => result,
    }
}

/// What the first bytes of a qcow2 header say, whether or not it is right, and the size of the disk.
fn header(first: &[u8]) -> Option<(Qcow2Info, u64)> {
    let be32 = |at: usize| Some(u32::from_be_bytes(first.get(at..at + 4)?.try_into().ok()?));
    let version = be32(4)?;
    let bits = be32(20)?;
    let bytes = u64::from_be_bytes(first.get(24..32)?.try_into().ok()?);
    // The byte is there since version 3, where the header is long enough for it.
    let compression = match first.get(104) {
        Some(kind) if version >= 3 && be32(100)? > 104 => *kind,
        _ => 0,
    };
    let qcow2 = Qcow2Info {
        version,
        cluster_bytes: (9..=21).contains(&bits).then(|| 1 << bits),
        compression: ["zlib", "zstd"].get(usize::from(compression)).copied(),
        allocated_bytes: None,
    };
    Some((qcow2, bytes))
}

#[cfg(test)]
mod tests;
