use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::config_drive::check_size;
use crate::error::{DiskLeft, Failure, ImagingError};
use crate::pipeline::{Pipeline, Plan};
use crate::place::{PlaceError, place};
use crate::progress::{Counters, Observer, Reporter};
use crate::readback::Ledger;
use crate::request::{Verify, WriteMode, WriteRequest, Written};
use crate::survey::{Expected, Survey};
use crate::table::Table;
use crate::target::{Target, TargetError};
use crate::transform::{self, Extents};
use crate::veil::{MINIMUM_DISK, Veil};
use crate::vouch::Vouch;
use crate::writers::{self, Destination, WriteStop};

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
    let WriteRequest { sources, digests, signature, disk_format, config_drive, mode, verify, retry } =
        request;
    let url = sources.first().map(|source| source.describe()).unwrap_or_default();
    let digests = digests.into_iter().map(|expected| Vouch::Digest { url: url.clone(), expected });
    let signature = signature.map(|signature| Vouch::Signature { url: url.clone(), signature });
    let vouches: Vec<Vouch> = digests.chain(signature).collect();
    let writer = Writer {
        target,
        device: target.describe(),
        sector: target.logical_sector(),
        size: target.size_bytes(),
        config_drive,
        mode,
        verify,
        counters: &counters,
    };
    let start = || -> Result<_, Failure> {
        writer.check_request()?;
        if vouches.is_empty() {
            return Err(Failure::Unvouched { url });
        }
        let expected =
            Expected { declared: disk_format, device: writer.device.clone(), room: writer.size };
        let pipeline = Pipeline::start(sources, retry, vouches, expected, &counters)?;
        writer.prepare(pipeline, &mut reporter)
    };
    let prepared = start().map_err(|failure| ImagingError::new(failure, DiskLeft::Untouched))?;
    let veil = Veil::new(target, prepared.table.backup_bytes(writer.sector));
    match writer.write(prepared, &veil, &mut reporter) {
        Ok(written) => Ok(written),
        Err(failure) => {
            let error = ImagingError::new(failure, DiskLeft::NotBootable);
            Err(match veil.close_again() {
                Ok(()) => error,
                Err(why) => error.not_closed(why.to_string()),
            })
        }
    }
}

/// What is known when the first write is due.
struct Prepared {
    pipeline: Pipeline,
    survey: Survey,
    table: Table,
}

struct Writer<'t> {
    target: &'t dyn Target,
    device: String,
    /// Logical sector size of the disk in bytes.
    sector: u32,
    /// Of the disk in bytes.
    size: u64,
    config_drive: Option<Vec<u8>>,
    mode: WriteMode,
    verify: Verify,
    counters: &'t Counters,
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

    /// Gets the beginning of the image and checks all that can be known by then.
    fn prepare(&self, pipeline: Pipeline, reporter: &mut Reporter<'_>) -> Result<Prepared, Failure> {
        reporter.report();
        let survey = pipeline.survey(reporter)?;
        if let Some(image) = survey.size.filter(|image| image.bytes > self.size) {
            return Err(self.too_large(&survey.url, image.bytes, image.exact));
        }
        reporter.progress.source_total = survey.source_total;
        reporter.progress.target_total = survey.size.filter(|image| image.exact).map(|image| image.bytes);
        let table = Table::inspect(&survey.head, self.sector, self.blocks()).map_err(|source| {
            Failure::Table { url: survey.url.clone(), device: self.device.clone(), source }
        })?;
        Ok(Prepared { pipeline, survey, table })
    }

    fn write(
        &self,
        prepared: Prepared,
        veil: &Veil<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Written, Failure> {
        let Prepared { pipeline, survey, mut table } = prepared;
        let Survey { url, content, head, .. } = survey;
        reporter.stage("write");
        if self.mode == WriteMode::All {
            veil.close().map_err(self.failed("zeroing the first and last MiB"))?;
        }
        pipeline.fetch(Plan::Everything)?;
        let extents =
            transform::start(content, url.clone(), pipeline.served.clone(), pipeline.first_failure.clone())?;
        let destination = Destination {
            veil,
            base: 0,
            room: self.size,
            compare: self.mode == WriteMode::Changed,
            ledger: (self.verify == Verify::Full).then(Ledger::default),
            counters: self.counters,
            stop: AtomicBool::new(false),
            fault: Mutex::new(None),
        };
        self.fill(&destination, &pipeline, extents, &url, reporter)?;
        reporter.stage("verify");
        let vouched = pipeline.verdicts(reporter)?;
        let mut revealed = vec![0; head.len()];
        veil.read(0, &mut revealed).map_err(self.failed("reading what was held back"))?;
        if revealed != head {
            let what = "its beginning is not the one that was checked".to_owned();
            return Err(Failure::SourceChanged { url, offset: 0, what });
        }
        if let Some(ledger) = &destination.ledger {
            self.read_back(ledger, veil, reporter)?;
        }
        reporter.stage("reveal");
        let config_drive = self.reveal(&url, &mut table, veil, reporter)?;
        let unchanged = !veil.touched();
        let rescan_failed = if unchanged { None } else { self.target.reread_partition_table().err() };
        let rescan_failed = rescan_failed.map(|error| error.to_string());
        if let Some(error) = &rescan_failed {
            tracing::warn!(device = %self.device, %error, "the kernel keeps its old view of the partitions");
        }
        reporter.report_now();
        Ok(Written {
            source_bytes: reporter.progress.source_bytes,
            target_bytes: reporter.progress.target_bytes,
            vouched,
            unchanged,
            disk_identifier: table.mbr.as_ref().map_or(0, |mbr| mbr.signature()),
            table: table.kind(),
            partitions: table.partitions(),
            config_drive_unmountable: config_drive.is_some() && self.sector > 2048,
            config_drive,
            rescan_failed,
        })
    }

    /// Has the writers put everything onto the disk.
    fn fill(
        &self,
        destination: &Destination<'_>,
        pipeline: &Pipeline,
        extents: Extents,
        url: &str,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), Failure> {
        let Extents { extents, image_bytes } = extents;
        let complete = thread::scope(|scope| {
            let (done, all_done) = crossbeam_channel::bounded::<()>(0);
            for _ in 0..writers::threads() {
                let (extents, done) = (&extents, done.clone());
                scope.spawn(move || {
                    destination.run(extents);
                    drop(done);
                });
            }
            drop(done);
            reporter.wait_until_closed(&all_done).inspect_err(|_| {
                destination.stop.store(true, Ordering::Relaxed);
            })
        });
        complete?;
        let fault = destination.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fault {
            None => {}
            Some(WriteStop::TooLarge { end }) => return Err(self.too_large(url, end, false)),
            Some(WriteStop::Unpack { offset, source }) => {
                let url = url.to_owned();
                return Err(Failure::Decode { url, codec: "zstd", decoded: offset, source });
            }
            Some(WriteStop::Disk { doing, source }) => return Err(self.failed(doing)(source)),
        }
        // Nothing there means that the extents stopped coming before the image's end.
        image_bytes.recv().map(drop).map_err(|_| pipeline.first_failure.take())
    }

    fn read_back(
        &self,
        ledger: &Ledger,
        veil: &Veil<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), Failure> {
        // So that nothing is read out of a volatile cache that a power cut would lose.
        self.target.flush().map_err(self.failed("flushing"))?;
        let stop = AtomicBool::new(false);
        let stop = &stop;
        let found = thread::scope(|scope| {
            let (done, all_done) = crossbeam_channel::bounded::<()>(0);
            let reading = scope.spawn(move || {
                let found =
                    ledger.first_difference(veil, writers::threads(), &self.counters.read_bytes, &|| {
                        stop.load(Ordering::Relaxed)
                    });
                drop(done);
                found
            });
            let waited = reporter.wait_until_closed(&all_done);
            stop.store(waited.is_err(), Ordering::Relaxed);
            let found = reading.join().expect("reading back does not panic");
            waited.map(|()| found)
        })?;
        match found.map_err(self.failed("reading back the image"))? {
            Some(range) => Err(Failure::ReadBack { device: self.device.clone(), offset: range.start }),
            None => Ok(()),
        }
    }

    /// Makes the verified image whole: table, config drive, and the areas held back.
    fn reveal(
        &self,
        url: &str,
        table: &mut Table,
        veil: &Veil<'_>,
        reporter: &Reporter<'_>,
    ) -> Result<Option<crate::partition::Partition>, Failure> {
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
