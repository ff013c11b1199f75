//! Comparing a disk with a map: which ranges differ, and where holes are not zero.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use ring::digest::{Context, SHA256};
use tacit_blockdev::AlignedBuf;

use super::map::Bmap;
use super::spans::Spans;
use crate::target::{Target, TargetError};

/// Bytes of one read.
const READ: usize = 1 << 20;
/// What one reader takes at a time: at least this much, and more where a range would be cut.
const UNIT: u64 = 4 << 20;
/// Pairs of a reader and a hasher: fewer leave the device idle between reads, more only cost memory.
const PAIRS: Range<usize> = 4..9;
/// Holes are reported in so many pieces at most, so that memory is bounded.
const PIECES: u64 = 1 << 16;

/// Where a disk differs from the image of a map.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Ranges of the map (their places in it) whose sha256 differs, ascending.
    pub ranges: Vec<usize>,
    /// Parts of holes, in bytes, that hold something else than zeros, rounded outwards within their hole; ascending.
    pub holes: Vec<Range<u64>>,
}

/// Why a disk could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    #[error("{device} has {bytes} bytes, less than the image of {image_size}")]
    TooSmall { device: String, bytes: u64, image_size: u64 },
    #[error("{device}: reading {length} bytes at {offset} failed")]
    Read { device: String, offset: u64, length: usize, source: TargetError },
    #[error("the comparison was cancelled")]
    Cancelled,
}

/// Reads as much of a disk as the image fills. `read` counts the bytes; `cancelled` is asked before each read.
///
/// # Errors
///
/// [`CompareError`].
pub fn compare(
    target: &dyn Target,
    map: &Bmap,
    read: &AtomicU64,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<Changed, CompareError> {
    if target.size_bytes() < map.image_size() {
        return Err(CompareError::TooSmall {
            device: target.describe(),
            bytes: target.size_bytes(),
            image_size: map.image_size(),
        });
    }
    let units = Units { map, next: Mutex::new(0) };
    let stop = Stop::default();
    let pairs = thread::available_parallelism().map_or(1, usize::from).clamp(PAIRS.start, PAIRS.end - 1);
    let found: Vec<Found> = thread::scope(|scope| {
        let hashers: Vec<_> = (0..pairs)
            .map(|_| {
                let (send, windows) = bounded::<Window>(1);
                let (home, free) = bounded(2);
                let (units, stop) = (&units, &stop);
                scope.spawn(move || {
                    if let Err(error) = read_units(target, units, &free, &send, read, stop, cancelled) {
                        stop.set(error);
                    }
                });
                scope.spawn(move || check_windows(map, &windows, &home))
            })
            .collect();
        let joined = hashers.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|found| found.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    if let Some(error) = stop.error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let (mut ranges, mut holes) = (Vec::new(), Vec::new());
    for found in found {
        ranges.extend(found.ranges);
        holes.push(found.holes);
    }
    ranges.sort_unstable();
    Ok(Changed { ranges, holes: Spans::join(holes) })
}

/// Bytes that were read, and where.
struct Window {
    offset: u64,
    len: usize,
    buf: AlignedBuf,
}

/// Hands out the image in pieces that cut no range.
struct Units<'a> {
    map: &'a Bmap,
    next: Mutex<u64>,
}

impl Units<'_> {
    fn take(&self) -> Option<Range<u64>> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let start = *next;
        if start >= self.map.image_size() {
            return None;
        }
        let end = self.map.image_size().min(start + UNIT);
        let cut = self.map.range(self.map.first_behind(end)).map(|range| range.bytes);
        let end = cut.filter(|range| range.start < end).map_or(end, |range| range.end);
        *next = end;
        Some(start..end)
    }
}

/// The first error of any reader, which ends all of them.
#[derive(Default)]
struct Stop {
    any: AtomicBool,
    error: Mutex<Option<CompareError>>,
}

impl Stop {
    fn set(&self, error: CompareError) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.any.store(true, Ordering::Relaxed);
    }
}

fn read_units(
    target: &dyn Target,
    units: &Units<'_>,
    free: &Receiver<AlignedBuf>,
    send: &Sender<Window>,
    read: &AtomicU64,
    stop: &Stop,
    cancelled: &(dyn Fn() -> bool + Sync),
) -> Result<(), CompareError> {
    // One is read into while the other is hashed.
    let mut spare = vec![AlignedBuf::new(READ), AlignedBuf::new(READ)];
    while let Some(unit) = units.take() {
        for offset in unit.clone().step_by(READ) {
            if stop.any.load(Ordering::Relaxed) {
                return Ok(());
            }
            if cancelled() {
                return Err(CompareError::Cancelled);
            }
            let len = (unit.end - offset).min(READ as u64) as usize;
            let Some(mut buf) = spare.pop().or_else(|| free.recv().ok()) else { return Ok(()) };
            target.read_at(offset, &mut buf[..len]).map_err(|source| CompareError::Read {
                device: target.describe(),
                offset,
                length: len,
                source,
            })?;
            read.fetch_add(len as u64, Ordering::Relaxed);
            // Who hashes only goes away when it panics, which is passed on where it is joined.
            if send.send(Window { offset, len, buf }).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Found {
    ranges: Vec<usize>,
    holes: Spans,
}

/// Checks whole units, of which the windows come in ascending order.
fn check_windows(map: &Bmap, windows: &Receiver<Window>, home: &Sender<AlignedBuf>) -> Found {
    let piece = (map.image_size() / PIECES).next_power_of_two().max(READ as u64);
    let mut found = Found::default();
    let (mut next, mut position, mut open) = (0, 0, Context::new(&SHA256));
    for Window { offset, len, buf } in windows {
        if offset != position {
            next = map.first_behind(offset);
        }
        let bytes = &buf[..len];
        let (mut at, end) = (offset, offset + len as u64);
        while at < end {
            let part = |to: u64| &bytes[(at - offset) as usize..(to - offset) as usize];
            let range = map.range(next);
            let hole_end = range.as_ref().map_or(map.image_size(), |range| range.bytes.start);
            if at < hole_end {
                let to = hole_end.min(end);
                if !is_zero(part(to)) {
                    let hole_start = next.checked_sub(1).and_then(|before| map.range(before));
                    let hole_start = hole_start.map_or(0, |range| range.bytes.end);
                    let from = (at - at % piece).max(hole_start);
                    found.holes.add(from..to.next_multiple_of(piece).min(hole_end));
                }
                at = to;
            } else if let Some(range) = range {
                let to = range.bytes.end.min(end);
                open.update(part(to));
                if to == range.bytes.end {
                    let digest = std::mem::replace(&mut open, Context::new(&SHA256)).finish();
                    if digest.as_ref() != range.sha256.0 {
                        found.ranges.push(next);
                    }
                    next += 1;
                }
                at = to;
            } else {
                break;
            }
        }
        position = end;
        // The reader may have ended, and then the buffer is freed with the error.
        drop(home.try_send(buf));
    }
    found
}

static ZEROS: [u8; 4096] = [0; 4096];

/// Whether bytes are all zero.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(ZEROS.len()).all(|chunk| *chunk == ZEROS[..chunk.len()])
}
