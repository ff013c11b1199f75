//! Checking the digests of a map's ranges while the image streams by, several ranges at a time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle, available_parallelism};

use crossbeam_channel::{Receiver, Sender, bounded};
use ring::digest::{Context, SHA256};

use super::map::{Bmap, Sha256};
use crate::extent::Slice;

/// Jobs that wait for one worker. Every job holds a block of the pool, so this bounds how many are away: with ranges of
/// 4 MiB just enough that the next worker has begun when this one still has work.
const QUEUED: usize = 3;
/// More workers than this outrun any source, and each holds blocks.
const MAX_WORKERS: usize = 4;
/// Small ranges are handed over together, up to so many bytes.
const BATCH: usize = 256 << 10;

/// Why what streamed by is not the image of the map. Offsets are bytes of the image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    #[error("bytes {start} to {end} of the image have sha256 {found}, its map says {expected}")]
    Mismatch { start: u64, end: u64, expected: Sha256, found: Sha256 },
    #[error("the image lacks bytes {start} to {end}, which its map lists")]
    Missing { start: u64, end: u64 },
    #[error("the image has bytes behind {image_size}, where it ends by its map")]
    TooLong { image_size: u64 },
    #[error("bytes {start} to {end} of the image hold data, its map says that there are none")]
    NotZero { start: u64, end: u64 },
}

/// A part of a range, and whether it is the last one.
struct Part {
    range: usize,
    bytes: Slice,
    ends: bool,
}

/// Tells mapped bytes from others and has each range's digest computed, one worker per range at a time.
///
/// The workers end when the verifier is dropped.
pub(crate) struct RangeVerifier<'scope> {
    map: &'scope Bmap,
    /// First range that is not complete.
    next: usize,
    /// What lies before this has streamed by.
    position: u64,
    queues: Vec<Sender<Vec<Part>>>,
    workers: Vec<ScopedJoinHandle<'scope, ()>>,
    /// Worker that holds the beginning of the range `next`.
    holder: Option<usize>,
    verdict: Arc<Verdict>,
}

impl<'scope> RangeVerifier<'scope> {
    /// Starts one worker per core, four at most.
    pub(crate) fn start(scope: &'scope Scope<'scope, '_>, map: &'scope Bmap) -> Self {
        let workers = available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let verdict = Arc::new(Verdict::default());
        let (queues, workers) = (0..workers)
            .map(|_| {
                let (queue, jobs) = bounded(QUEUED);
                let verdict = Arc::clone(&verdict);
                (queue, scope.spawn(move || work(map, &jobs, &verdict)))
            })
            .unzip();
        Self { map, next: 0, position: 0, queues, workers, holder: None, verdict }
    }

    /// Takes the bytes of the image from `offset` on and returns those parts of them that are mapped, with their
    /// offsets. Holes may be left out, mapped bytes may not; what was taken before may not come again.
    ///
    /// # Errors
    ///
    /// [`RangeError`]; a mismatch is told as soon as it is known, which can be some calls later.
    pub(crate) fn push(&mut self, offset: u64, bytes: &Slice) -> Result<Vec<(u64, Slice)>, RangeError> {
        self.verdict.check()?;
        let end = offset + bytes.len() as u64;
        if end > self.map.image_size() {
            return Err(RangeError::TooLong { image_size: self.map.image_size() });
        }
        let (mut mapped, mut parts) = (Vec::new(), Vec::new());
        while let Some(range) = self.map.range(self.next).map(|range| range.bytes) {
            if range.start >= end {
                break;
            }
            // A range of which the beginning was taken goes on where the last bytes ended.
            let from = range.start.max(self.position);
            if from < offset {
                return Err(RangeError::Missing { start: from, end: range.end.min(offset) });
            }
            let to = range.end.min(end);
            let part = bytes.part((from - offset) as usize..(to - offset) as usize);
            mapped.push((from, part.clone()));
            parts.push(Part { range: self.next, bytes: part, ends: to == range.end });
            if to < range.end {
                break;
            }
            self.next += 1;
        }
        self.position = end;
        self.hand_out(parts);
        Ok(mapped)
    }

    /// Gives the parts to the workers: what continues a range to who holds its beginning, all else to who has the
    /// least to do.
    fn hand_out(&mut self, parts: Vec<Part>) {
        let (mut batch, mut batched) = (Vec::new(), 0);
        for part in parts {
            let ends = part.ends;
            if let Some(holder) = self.holder {
                self.send(holder, vec![part]);
                self.holder = (!ends).then_some(holder);
                continue;
            }
            batched += part.bytes.len();
            batch.push(part);
            if !ends || batched >= BATCH {
                let worker = self.idlest();
                self.send(worker, std::mem::take(&mut batch));
                batched = 0;
                self.holder = (!ends).then_some(worker);
            }
        }
        if !batch.is_empty() {
            self.send(self.idlest(), batch);
        }
    }

    fn idlest(&self) -> usize {
        let queues = self.queues.iter().enumerate();
        queues.min_by_key(|(_, queue)| queue.len()).map(|(worker, _)| worker).expect("there is a worker")
    }

    fn send(&self, worker: usize, job: Vec<Part>) {
        self.queues[worker].send(job).expect("workers live until their queue is closed");
    }

    /// Waits for the workers.
    ///
    /// # Errors
    ///
    /// [`RangeError`]: the first range that differs, else the first one that did not come.
    pub(crate) fn finish(mut self) -> Result<(), RangeError> {
        self.queues.clear();
        for worker in self.workers.drain(..) {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
        self.verdict.check()?;
        match self.map.range(self.next).map(|range| range.bytes) {
            None => Ok(()),
            Some(range) => Err(RangeError::Missing { start: range.start.max(self.position), end: range.end }),
        }
    }
}

fn work(map: &Bmap, jobs: &Receiver<Vec<Part>>, verdict: &Verdict) {
    let mut open = Context::new(&SHA256);
    for Part { range, bytes, ends } in jobs.iter().flatten() {
        open.update(&bytes);
        drop(bytes);
        if ends {
            let found = std::mem::replace(&mut open, Context::new(&SHA256)).finish().into();
            let range = map.range(range).expect("parts are of ranges of the map");
            if found != range.sha256 {
                let (start, end) = (range.bytes.start, range.bytes.end);
                verdict.add(RangeError::Mismatch { start, end, expected: range.sha256, found });
            }
        }
    }
}

/// The first mismatch of all that were found.
#[derive(Default)]
struct Verdict {
    any: AtomicBool,
    first: Mutex<Option<RangeError>>,
}

impl Verdict {
    fn add(&self, error: RangeError) {
        let start = |error: &RangeError| match error {
            RangeError::Mismatch { start, .. } => *start,
            _ => 0,
        };
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.as_ref().is_none_or(|before| start(&error) < start(before)) {
            *first = Some(error);
        }
        self.any.store(true, Ordering::Release);
    }

    fn check(&self) -> Result<(), RangeError> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        self.first.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}
