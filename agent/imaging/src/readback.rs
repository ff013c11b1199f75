//! `verify: full`: everything that was written is read back before anything becomes bootable.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tacit_blockdev::AlignedBuf;
use xxhash_rust::xxh3::xxh3_64;

use crate::pool::BLOCK;
use crate::target::TargetError;
use crate::veil::{Veil, is_zero};

/// Notes that are kept before they are checked: 6 MiB of them, usually of 256 GiB.
const FULL: usize = 256 << 10;

/// What was written where and has not been read back: 24 bytes for a write of usually a MiB.
///
/// The disk is not an adversary but may be broken, so a fast hash without a key serves.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    start: u64,
    len: u64,
    /// [`ZEROS`] for zeros.
    hash: u64,
}

/// Stands for zeros of any length. A write with this hash would be taken for one that differs, and fail.
const ZEROS: u64 = u64::MAX;

impl Ledger {
    /// Notes what was written. Returns a ledger that is full and has to be checked, if this made it so.
    pub(crate) fn note(&self, start: u64, bytes: &[u8]) -> Option<Self> {
        self.push(Entry { start, len: bytes.len() as u64, hash: xxh3_64(bytes) })
    }

    /// As [`Self::note`], for zeros.
    pub(crate) fn note_zeros(&self, start: u64, len: u64) -> Option<Self> {
        self.push(Entry { start, len, hash: ZEROS })
    }

    fn push(&self, entry: Entry) -> Option<Self> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.len > 0 {
            entries.push(entry);
        }
        (entries.len() >= FULL).then(|| Self(Mutex::new(std::mem::take(&mut entries))))
    }

    /// Reads everything through the veil, on several threads, and returns the first range that is not as it was written.
    /// Ends early, without a result, once `cancelled` says so.
    pub(crate) fn first_difference(
        &self,
        veil: &Veil<'_>,
        threads: usize,
        read: &AtomicU64,
        cancelled: &(dyn Fn() -> bool + Sync),
    ) -> Result<Option<Range<u64>>, TargetError> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.sort_unstable_by_key(|entry| entry.start);
        let entries = &*entries;
        let next = AtomicUsize::new(0);
        let work = || -> Result<Option<Range<u64>>, TargetError> {
            let mut buf = AlignedBuf::new(BLOCK);
            while !cancelled() {
                let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                let end = entry.start + entry.len;
                for at in (entry.start..end).step_by(BLOCK) {
                    let buf = &mut buf[..BLOCK.min((end - at) as usize)];
                    veil.read(at, buf)?;
                    read.fetch_add(buf.len() as u64, Ordering::Relaxed);
                    let right = if entry.hash == ZEROS { is_zero(buf) } else { entry.hash == xxh3_64(buf) };
                    if !right {
                        return Ok(Some(at..at + buf.len() as u64));
                    }
                    if cancelled() {
                        break;
                    }
                }
            }
            Ok(None)
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let mut first: Option<Range<u64>> = None;
            for worker in workers {
                let found = worker.join().expect("reading back does not panic")?;
                first = match (first, found) {
                    (Some(first), Some(found)) if found.start < first.start => Some(found),
                    (first, found) => first.or(found),
                };
            }
            Ok(first)
        })
    }
}
