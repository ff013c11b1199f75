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

/// What was written where: 24 bytes for a write of usually a MiB.
///
/// The disk is not an adversary but may be broken, so a fast hash without a key serves.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Vec<Entry>>);

#[derive(Clone, Debug)]
struct Entry {
    start: u64,
    len: u64,
    /// Zeros where there is none.
    hash: Option<u64>,
}

impl Ledger {
    pub(crate) fn note(&self, start: u64, bytes: &[u8]) {
        self.push(Entry { start, len: bytes.len() as u64, hash: Some(xxh3_64(bytes)) });
    }

    pub(crate) fn note_zeros(&self, start: u64, len: u64) {
        self.push(Entry { start, len, hash: None });
    }

    fn push(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
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
                    let right = match entry.hash {
                        Some(hash) => hash == xxh3_64(buf),
                        None => is_zero(buf),
                    };
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
