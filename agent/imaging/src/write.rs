use std::sync::Arc;

use crate::codec::Piece;
use crate::config_drive::check_size;
use crate::digest::ExpectedDigest;
use crate::error::{DiskLeft, Failure, ImagingError};
use crate::partition::{Partition, TableKind};
use crate::pipeline::{Pipeline, Preface};
use crate::place::{PlaceError, place};
use crate::pool::Block;
use crate::progress::{Counters, Observer, Reporter};
use crate::sniff::{Codec, means_raw, sniff};
use crate::source::{RetryPolicy, Source};
use crate::table::Table;
use crate::target::{Target, TargetError};
use crate::veil::{MINIMUM_DISK, Veil};

/// An image and how it shall get onto a disk.
pub struct WriteRequest {
    /// Places with the same content, tried in order.
    pub sources: Vec<Box<dyn Source>>,
    /// Of the bytes as served.
    pub digest: ExpectedDigest,
    /// What the image is said to be: nothing, `raw`, `unknown` or `gpt`; everything else is refused.
    pub disk_format: Option<String>,
    /// The ISO image, see [`crate::decode_config_drive`].
    pub config_drive: Option<Vec<u8>>,
    pub retry: RetryPolicy,
}

/// A verified image on a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Bytes as served.
    pub source_bytes: u64,
    /// Bytes of the decoded image.
    pub target_bytes: u64,
    /// Lower-case hexadecimal.
    pub digest: String,
    /// `NT` disk signature of the MBR; usually zero beside a GPT.
    pub disk_identifier: u32,
    pub table: TableKind,
    /// As they are on the disk now, the config drive's included.
    pub partitions: Vec<Partition>,
    pub config_drive: Option<Partition>,
    /// The config drive's blocks (2 KiB in ISO 9660) are smaller than the disk's sectors: Linux cannot mount it.
    pub config_drive_unmountable: bool,
    /// Why the kernel of the ramdisk still sees the old partitions, if it does. The disk itself is right.
    pub rescan_failed: Option<String>,
}

/// Writes an image onto a disk, verifies it, and only then lets the disk become bootable.
///
/// Everything that can be known before the first write is checked before it. Blocks; returns as soon as it
/// can after [`Observer::cancelled`] says so.
///
/// # Errors
///
/// [`ImagingError`], with what is left on the disk: never something bootable that was not verified.
pub fn write_image(
    request: WriteRequest,
    target: &dyn Target,
    observer: &dyn Observer,
) -> Result<Written, ImagingError> {
    let counters = Arc::new(Counters::default());
    let mut reporter = Reporter::new(observer, &counters, target.describe());
    let WriteRequest { sources, digest, disk_format, config_drive, retry } = request;
    let writer = Writer {
        target,
        device: target.describe(),
        sector: target.logical_sector(),
        size: target.size_bytes(),
        digest,
        config_drive,
    };
    let start = || -> Result<_, Failure> {
        writer.check_request()?;
        let pipeline = Pipeline::start(sources, retry, writer.digest.algorithm, Arc::clone(&counters))?;
        writer.prepare(pipeline, disk_format.as_deref(), &mut reporter)
    };
    let prepared = start().map_err(|failure| ImagingError::new(failure, DiskLeft::Untouched))?;
    let mut veil = Veil::new(target, prepared.table.backup_bytes(writer.sector));
    match writer.write(prepared, &mut veil, &mut reporter) {
        Ok(written) => Ok(written),
        Err(failure) => {
            let error = ImagingError::new(failure, DiskLeft::NotBootable);
            Err(match veil.close() {
                Ok(()) => error,
                Err(why) => error.not_closed(why.to_string()),
            })
        }
    }
}

/// What is known when the first write is due.
struct Prepared {
    pipeline: Pipeline,
    url: String,
    first: Arc<Block>,
    table: Table,
}

struct Writer<'t> {
    target: &'t dyn Target,
    device: String,
    /// Logical sector size of the disk in bytes.
    sector: u32,
    /// Of the disk in bytes.
    size: u64,
    digest: ExpectedDigest,
    config_drive: Option<Vec<u8>>,
}

impl Writer<'_> {
    fn blocks(&self) -> u64 {
        self.size / u64::from(self.sector)
    }

    fn check_request(&self) -> Result<(), Failure> {
        let device = || self.device.clone();
        if self.sector < 512 || !self.sector.is_power_of_two() || self.sector > 64 << 10 {
            return Err(Failure::Internal("the disk has an impossible sector size"));
        }
        if self.size < MINIMUM_DISK {
            return Err(Failure::DiskTooSmall { device: device(), bytes: self.size, minimum: MINIMUM_DISK });
        }
        if let Some(drive) = &self.config_drive {
            check_size(drive).map_err(|source| Failure::ConfigDrive { device: device(), source })?;
        }
        Ok(())
    }

    /// Gets the first MiB of the image and checks all that can be known by then.
    fn prepare(
        &self,
        mut pipeline: Pipeline,
        declared: Option<&str>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Prepared, Failure> {
        reporter.report();
        let Preface { url, content, source_total, size } = pipeline.preface(reporter)?;
        if source_total == Some(0) {
            return Err(Failure::Empty { url });
        }
        check_format(&url, content, declared)?;
        let codec = content.map_err(|format| Failure::UnsupportedFormat { url: url.clone(), format })?;
        if let Some(image) = size.filter(|image| image.bytes > self.size) {
            return Err(self.too_large(&url, image.bytes, image.exact));
        }
        reporter.progress.source_total = source_total;
        reporter.progress.target_total = size.filter(|image| image.exact).map(|image| image.bytes);
        pipeline.decode(codec, url.clone())?;
        let Piece::Data(first) = pipeline.next(reporter)? else {
            return Err(Failure::Empty { url });
        };
        if codec != Codec::Raw {
            let inner = sniff(&first);
            check_format(&url, inner, declared)?;
            if let Ok(nested @ (Codec::Gzip | Codec::Xz | Codec::Zstd)) = inner {
                return Err(Failure::UnsupportedFormat { url, format: nested.name() });
            }
        }
        let table = Table::inspect(&first, self.sector, self.blocks()).map_err(|source| Failure::Table {
            url: url.clone(),
            device: self.device.clone(),
            source,
        })?;
        Ok(Prepared { pipeline, url, first, table })
    }

    fn write(
        &self,
        prepared: Prepared,
        veil: &mut Veil<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Written, Failure> {
        let Prepared { pipeline, url, first, mut table } = prepared;
        reporter.progress.stage = "write";
        veil.close().map_err(self.failed("zeroing the first and last MiB"))?;
        let mut next = Piece::Data(first);
        while let Piece::Data(block) = next {
            let offset = reporter.progress.target_bytes;
            let end = offset + block.len() as u64;
            if end > self.size {
                return Err(self.too_large(&url, end, false));
            }
            veil.write(offset, &block).map_err(self.failed("writing the image"))?;
            reporter.progress.target_bytes = end;
            drop(block);
            next = pipeline.next(reporter)?;
        }
        reporter.progress.stage = "verify";
        let found = pipeline.digest(reporter)?;
        if !self.digest.matches(&found) {
            let (algorithm, expected) = (self.digest.algorithm, self.digest.hex.clone());
            return Err(Failure::Digest { url, algorithm, expected, found });
        }
        reporter.progress.stage = "reveal";
        reporter.report();
        let config_drive = self.reveal(&url, &mut table, veil, reporter)?;
        let rescan_failed = self.target.reread_partition_table().err().map(|error| error.to_string());
        if let Some(error) = &rescan_failed {
            tracing::warn!(device = %self.device, %error, "the kernel keeps its old view of the partitions");
        }
        reporter.report_now();
        Ok(Written {
            source_bytes: reporter.progress.source_bytes,
            target_bytes: reporter.progress.target_bytes,
            digest: found,
            disk_identifier: table.mbr.as_ref().map_or(0, |mbr| mbr.signature()),
            table: table.kind(),
            partitions: table.partitions(),
            config_drive_unmountable: config_drive.is_some() && self.sector > 2048,
            config_drive,
            rescan_failed,
        })
    }

    /// Makes the verified image whole: table, config drive, and the areas held back.
    fn reveal(
        &self,
        url: &str,
        table: &mut Table,
        veil: &mut Veil<'_>,
        reporter: &Reporter<'_>,
    ) -> Result<Option<Partition>, Failure> {
        let device = || self.device.clone();
        // The image's own backup table is dead once there is one at the end of the disk.
        if let Some(old) = table.backup_bytes(self.sector) {
            veil.zero(old.start, old.end - old.start).map_err(self.failed("revealing the image"))?;
        }
        table.fit(self.blocks()).map_err(|source| Failure::Table {
            url: url.to_owned(),
            device: device(),
            source,
        })?;
        let mut config_drive = None;
        if let Some(drive) = &self.config_drive {
            let partition = place(drive, table, veil, self.sector.into(), self.blocks());
            config_drive = Some(partition.map_err(|error| match error {
                PlaceError::Drive(source) => Failure::ConfigDrive { device: device(), source },
                PlaceError::Disk(source) => self.failed("writing the config drive")(source),
            })?);
        }
        for (offset, bytes) in table.pieces() {
            veil.write(offset, &bytes).map_err(self.failed("revealing the image"))?;
        }
        // The last moment: from here on the disk becomes bootable.
        if reporter.cancelled() {
            return Err(reporter.cancelled_failure());
        }
        veil.lift().map_err(self.failed("revealing the image"))?;
        match veil.first_difference().map_err(self.failed("reading back what was revealed"))? {
            Some(offset) => Err(Failure::ReadBack { device: device(), offset }),
            None => Ok(config_drive),
        }
    }

    fn failed(&self, doing: &'static str) -> impl Fn(TargetError) -> Failure {
        let device = self.device.clone();
        move |source| Failure::Target { device: device.clone(), doing, source }
    }

    fn too_large(&self, url: &str, image: u64, exact: bool) -> Failure {
        let (url, device) = (url.to_owned(), self.device.clone());
        Failure::TooLarge { url, image, exact, device, disk: self.size }
    }
}

/// Refuses what the content shows not to be a raw image, and a declaration that says another format.
fn check_format(
    url: &str,
    content: Result<Codec, &'static str>,
    declared: Option<&str>,
) -> Result<(), Failure> {
    let url = url.to_owned();
    match (content, declared) {
        (Err(format), Some(declared)) if !declared.trim().is_empty() && !means(declared, format) => {
            Err(Failure::FormatContradicts { url, declared: declared.to_owned(), found: format.to_owned() })
        }
        (Err(format), _) => Err(Failure::UnsupportedFormat { url, format }),
        (Ok(_), declared) if means_raw(declared) => Ok(()),
        // Packed content is judged again when it is unpacked.
        (Ok(Codec::Gzip | Codec::Xz | Codec::Zstd), _) => Ok(()),
        (Ok(codec), declared) => Err(Failure::FormatContradicts {
            url,
            declared: declared.unwrap_or_default().to_owned(),
            found: codec.name().to_owned(),
        }),
    }
}

fn means(declared: &str, format: &str) -> bool {
    let declared = declared.trim();
    declared.eq_ignore_ascii_case(format) || declared.eq_ignore_ascii_case("unknown")
}
