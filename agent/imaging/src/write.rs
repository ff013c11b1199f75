use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::error::{DiskLeft, Failure, ImagingError};
use crate::pipeline::{Pipeline, Plan};
use crate::prepare::{Arrangement, Prepared, Writer};
use crate::progress::{Counters, Observer, Reporter};
use crate::readback::Ledger;
use crate::request::{Verify, WriteMode, WriteRequest, Written};
use crate::reveal::Revealed;
use crate::survey::Survey;
use crate::target::Target;
use crate::transform::{self, Extents};
use crate::veil::Veil;
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
    let mut writer = Writer::new(target, &request, &counters);
    let prepared = writer
        .prepare(request, &mut reporter)
        .map_err(|failure| ImagingError::new(failure, DiskLeft::Untouched))?;
    let veil = Veil::new(target, prepared.arrangement.held_back(writer.sector));
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

impl Writer<'_> {
    fn write(
        &self,
        prepared: Prepared,
        veil: &Veil<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<Written, Failure> {
        let Prepared { pipeline, survey, mut arrangement, map, map_alone } = prepared;
        let Survey { url, content, head, .. } = survey;
        reporter.stage("write");
        if self.mode == WriteMode::All {
            veil.close().map_err(self.failed("zeroing the first and last MiB"))?;
        }
        let (sieve, plan) = match map {
            None => (None, Plan::Everything),
            Some(map) => {
                let (sieve, plan) = self.sieve(&map, map_alone, &content, &arrangement, veil, reporter)?;
                (Some(sieve), plan)
            }
        };
        pipeline.fetch(plan)?;
        let failed = pipeline.first_failure.clone();
        let extents = transform::start(content, sieve, url.clone(), pipeline.served.clone(), failed)?;
        let region = arrangement.region(self.size);
        let destination = Destination {
            veil,
            base: region.start,
            room: region.end - region.start,
            compare: self.mode == WriteMode::Changed,
            ledger: (self.verify == Verify::Full).then(Ledger::default),
            counters: self.counters,
            stop: AtomicBool::new(false),
            fault: Mutex::new(None),
        };
        if let Arrangement::Partition(layout) = &arrangement {
            let drive = self.config_drive.as_deref();
            reporter.attend(|_| layout.furnish(veil, drive))?.map_err(self.cannot_lay_out())?;
        }
        let image_bytes = self.fill(&destination, &pipeline, extents, &url, reporter)?;
        reporter.stage("verify");
        let vouched = pipeline.verdicts(reporter)?;
        let mut beginning = vec![0; head.len()];
        veil.read(region.start, &mut beginning).map_err(self.failed("reading what was held back"))?;
        if beginning != head {
            let what = "its beginning is not the one that was checked".to_owned();
            return Err(Failure::SourceChanged { url, offset: 0, what });
        }
        if let Some(ledger) = &destination.ledger {
            self.read_back(ledger, veil, reporter)?;
        }
        reporter.stage("reveal");
        let Revealed { table, config_drive, made } =
            self.reveal(&url, &mut arrangement, image_bytes, veil, reporter)?;
        let unchanged = !veil.touched();
        let rescan_failed = if unchanged { None } else { self.target.reread_partition_table().err() };
        let rescan_failed = rescan_failed.map(|error| error.to_string());
        if let Some(error) = &rescan_failed {
            tracing::warn!(device = %self.device, %error, "the kernel keeps its old view of the partitions");
        }
        reporter.report_now();
        Ok(Written {
            source_bytes: reporter.progress.source_bytes,
            target_bytes: image_bytes,
            vouched,
            unchanged,
            disk_identifier: table.mbr.as_ref().map_or(0, |mbr| mbr.signature()),
            table: table.kind(),
            partitions: table.partitions(),
            config_drive,
            made,
            rescan_failed,
        })
    }

    /// Has the writers put everything onto the disk, and returns the image's length.
    fn fill(
        &self,
        destination: &Destination<'_>,
        pipeline: &Pipeline,
        extents: Extents,
        url: &str,
        reporter: &mut Reporter<'_>,
    ) -> Result<u64, Failure> {
        let Extents { extents, image_bytes } = extents;
        let complete = thread::scope(|scope| {
            let (done, all_done) = crossbeam_channel::bounded::<()>(0);
            for _ in 0..writers::threads() {
                let (extents, done) = (extents.clone(), done.clone());
                scope.spawn(move || {
                    destination.run(&extents);
                    drop(done);
                });
            }
            // The writers hold the only ends: when they give up, nobody fills a queue that nobody empties.
            drop((extents, done));
            reporter.wait_until_closed(&all_done).inspect_err(|_| {
                destination.stop.store(true, Ordering::Relaxed);
            })
        });
        complete?;
        let fault = destination.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        match fault {
            // Nothing there means that the extents stopped coming before the image's end.
            None => image_bytes.recv().map_err(|_| pipeline.why(reporter)),
            Some(WriteStop::TooLarge { end }) => Err(self.too_large(url, end, false, destination.room)),
            Some(WriteStop::ReadBack { offset }) => {
                Err(Failure::ReadBack { device: self.device.clone(), offset })
            }
            Some(WriteStop::Unpack { offset, source }) => {
                Err(Failure::Unit { url: url.to_owned(), offset, source })
            }
            Some(WriteStop::Disk { doing, source }) => Err(self.failed(doing)(source)),
        }
    }

    fn read_back(
        &self,
        ledger: &Ledger,
        veil: &Veil<'_>,
        reporter: &mut Reporter<'_>,
    ) -> Result<(), Failure> {
        // So that nothing is read out of a volatile cache that a power cut would lose.
        self.target.flush().map_err(self.failed("flushing"))?;
        let read = &self.counters.read_bytes;
        let found = reporter
            .attend(|cancelled| ledger.first_difference(veil, writers::threads(), read, cancelled))?;
        match found.map_err(self.failed("reading back the image"))? {
            Some(range) => Err(Failure::ReadBack { device: self.device.clone(), offset: range.start }),
            None => Ok(()),
        }
    }
}
