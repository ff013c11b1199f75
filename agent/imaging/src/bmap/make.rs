//! Making the map of a raw image.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::compare::is_zero;
use super::cut::{Cutter, Thresholds};
use super::error::BmapError;
use super::map::{Blocks, Bmap, BmapVersion};
use super::sparse::Sparse;
use crate::inspect::is_map;
use crate::sniff::{Format, sniff};

/// Block size of the maps that are made, in bytes.
pub(super) const BLOCK: u64 = 4096;
/// Where ranges are cut, so that their digests can be checked side by side, in bytes.
const SEGMENT: u64 = 4 << 20;
/// Segments of an image at most; the segments of larger images are larger.
const SEGMENTS: u64 = 1 << 16;
/// Bytes of one read.
const READ: usize = 1 << 20;
/// Enough of an image to tell its format.
const HEAD: usize = 64 << 10;
const MAX_WORKERS: usize = 16;

/// How a map is made.
#[derive(Clone, Copy, Debug)]
pub struct BmapOptions {
    /// Whether runs of zeros (64 KiB and more, aligned to 4 KiB) count as holes, besides the holes of a sparse file.
    pub scan_zeros: bool,
}

impl Default for BmapOptions {
    fn default() -> Self {
        Self { scan_zeros: true }
    }
}

/// Why no map could be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    #[error("cannot {doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: io::Error },
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    #[error("{} is {format}; maps are made of raw images", path.display())]
    NotRaw { path: PathBuf, format: &'static str },
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    #[error("making the map of {} was cancelled", .0.display())]
    Cancelled(PathBuf),
    #[error("{} cannot have a map", path.display())]
    Map { path: PathBuf, source: BmapError },
}

/// Makes the map of a raw image in a file, on all cores. `done` counts the image's bytes; `cancelled` is asked often.
///
/// # Errors
///
/// [`MakeError`].
pub fn make_bmap(
    path: &Path,
    options: BmapOptions,
    done: &AtomicU64,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Bmap, MakeError> {
    make_with(path, options, Bmap::MAX_RANGES, done, cancelled)
}

/// Makes a map of so many ranges at most, which must be enough for one range in each segment.
pub(super) fn make_with(
    path: &Path,
    options: BmapOptions,
    max_ranges: usize,
    done: &AtomicU64,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Bmap, MakeError> {
    let failed = |doing| move |source| MakeError::Io { doing, path: path.to_owned(), source };
    let file = File::open(path).map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("examine"))?;
    if !metadata.is_file() {
        return Err(MakeError::NotAFile(path.to_owned()));
    }
    let image_size = metadata.len();
    let mut head = vec![0; HEAD.min(usize::try_from(image_size).unwrap_or(HEAD))];
    file.read_exact_at(&mut head, 0).map_err(failed("read"))?;
    match sniff(&head) {
        Format::Raw if !is_map(&head) => {}
        Format::Raw => return Err(MakeError::NotRaw { path: path.to_owned(), format: "a block map" }),
        format => return Err(MakeError::NotRaw { path: path.to_owned(), format: format.name() }),
    }
    let mut thresholds = Thresholds::new(options.scan_zeros);
    let ranges = loop {
        done.store(0, Ordering::Relaxed);
        let maker = Maker {
            file: &file,
            sparse: Sparse::new(&file, image_size),
            image_size,
            segment: (image_size / SEGMENTS).next_power_of_two().max(SEGMENT),
            thresholds,
            max_ranges,
            next: AtomicU64::new(0),
            ranges: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            stopped: Mutex::new(None),
            done,
            cancelled,
        };
        match maker.run() {
            Ok(ranges) => break ranges,
            Err(Stopped::TooMany) => thresholds = thresholds.coarser(),
            Err(Stopped::Cancelled) => return Err(MakeError::Cancelled(path.to_owned())),
            Err(Stopped::Read(error)) => return Err(failed("read")(error)),
        }
    };
    let now = file.metadata().map_err(failed("examine"))?;
    let identity = |metadata: &std::fs::Metadata| (metadata.len(), metadata.mtime(), metadata.mtime_nsec());
    if identity(&now) != identity(&metadata) {
        return Err(MakeError::Changed(path.to_owned()));
    }
    Bmap::new(BmapVersion::V2_0, image_size, BLOCK, ranges)
        .map_err(|source| MakeError::Map { path: path.to_owned(), source })
}

enum Stopped {
    /// More ranges than a map has.
    TooMany,
    Cancelled,
    Read(io::Error),
}

/// One pass over the image. Each worker takes one segment after the other; no range crosses their borders.
struct Maker<'a> {
    file: &'a File,
    sparse: Sparse<'a>,
    image_size: u64,
    segment: u64,
    thresholds: Thresholds,
    max_ranges: usize,
    next: AtomicU64,
    ranges: AtomicUsize,
    stop: AtomicBool,
    stopped: Mutex<Option<Stopped>>,
    done: &'a AtomicU64,
    cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Maker<'_> {
    fn run(self) -> Result<Vec<Blocks>, Stopped> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let mut ranges = thread::scope(|scope| {
            let workers: Vec<_> = (0..workers).map(|_| scope.spawn(|| self.work())).collect();
            let mut ranges = Vec::new();
            for worker in workers {
                ranges.extend(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            ranges
        });
        if let Some(stopped) = self.stopped.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(stopped);
        }
        ranges.sort_unstable_by_key(|blocks| blocks.first);
        Ok(ranges)
    }

    fn work(&self) -> Vec<Blocks> {
        let mut buf = vec![0; READ];
        let mut ranges = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            let start = self.next.fetch_add(1, Ordering::Relaxed).saturating_mul(self.segment);
            if start >= self.image_size {
                break;
            }
            let end = self.image_size.min(start + self.segment);
            match self.cut_segment(start, end, &mut buf) {
                Ok(found) => {
                    let count = found.len() + self.ranges.fetch_add(found.len(), Ordering::Relaxed);
                    if count > self.max_ranges {
                        self.stop(Stopped::TooMany);
                        break;
                    }
                    ranges.extend(found);
                }
                Err(stopped) => {
                    self.stop(stopped);
                    break;
                }
            }
        }
        ranges
    }

    fn stop(&self, why: Stopped) {
        self.stop.store(true, Ordering::Relaxed);
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    fn cut_segment(&self, start: u64, end: u64, buf: &mut [u8]) -> Result<Vec<Blocks>, Stopped> {
        let mut cutter = Cutter::new(self.thresholds, start);
        let mut at = start;
        while at < end {
            let data = self.sparse.next_data(at).map_err(Stopped::Read)?.min(end);
            // Whole blocks: what a file's hole cuts off of one is read as the zeros that it is.
            let data = if data == end { end } else { data - data % BLOCK };
            cutter.hole(data - at);
            self.done.fetch_add(data - at, Ordering::Relaxed);
            let hole = self.sparse.next_hole(data).map_err(Stopped::Read)?.min(end);
            let hole = hole.next_multiple_of(BLOCK).min(end);
            at = data;
            while at < hole {
                if (self.cancelled)() {
                    return Err(Stopped::Cancelled);
                }
                let len = (hole - at).min(READ as u64) as usize;
                self.file.read_exact_at(&mut buf[..len], at).map_err(Stopped::Read)?;
                self.classify(&mut cutter, &buf[..len]);
                at += len as u64;
                self.done.fetch_add(len as u64, Ordering::Relaxed);
            }
        }
        Ok(cutter.finish())
    }

    fn classify(&self, cutter: &mut Cutter, bytes: &[u8]) {
        if !self.thresholds.scans() {
            return cutter.data(bytes);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let zeros = run(rest, true);
            cutter.zeros(zeros as u64);
            rest = &rest[zeros..];
            let data = run(rest, false);
            if data > 0 {
                cutter.data(&rest[..data]);
            }
            rest = &rest[data..];
        }
    }
}

/// Length of the blocks at the beginning that are all zero, or are all not.
fn run(bytes: &[u8], zero: bool) -> usize {
    bytes.chunks(BLOCK as usize).take_while(|block| is_zero(block) == zero).map(<[u8]>::len).sum()
}
