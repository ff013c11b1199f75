//! Writing every sector of a device, several requests at a time.

use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tacit_blockdev::{AlignedBuf, Drive};
use tacit_model::ProgressUnit;

use super::readback::{read_back, whole};
use super::sectors::BadRanges;
use super::{Done, Eraser};
use crate::erase::control::Control;
use crate::erase::error::EraseError;
use crate::erase::noise::Noise;
use crate::erase::policy::{Policy, Verify};

/// Length of a request: long enough that none of them matters, short enough that a stop is prompt.
pub(super) const REQUEST: u64 = 1 << 20;
/// Requests under way at a time, one a thread: one is prepared while the others are written.
pub(super) const WORKERS: usize = 4;

static ZEROS: LazyLock<AlignedBuf> = LazyLock::new(|| AlignedBuf::new(REQUEST as usize));

/// What a pass writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Zeros,
    Random(Noise),
}

impl Pattern {
    fn name(self) -> &'static str {
        match self {
            Self::Zeros => "zeros",
            Self::Random(_) => "random data",
        }
    }

    /// What belongs at `offset`, in `own` memory where it has to be made.
    pub(super) fn at(self, offset: u64, own: &mut [u8]) -> &[u8] {
        match self {
            Self::Zeros => &ZEROS[..own.len()],
            Self::Random(noise) => {
                noise.fill(offset, own);
                own
            }
        }
    }
}

/// Overwrites with passes of random data and a last one of zeros (IPA contract §5.2, 7).
pub(in crate::erase) struct OverwriteEraser {
    passes: Vec<Pattern>,
    verify: Verify,
    accept_bad_sectors: bool,
}

impl OverwriteEraser {
    /// # Errors
    ///
    /// [`EraseError::Random`].
    pub(in crate::erase) fn new(policy: &Policy) -> Result<Self, EraseError> {
        let mut passes = (0..policy.iterations)
            .map(|_| Noise::new().map(Pattern::Random))
            .collect::<Result<Vec<_>, EraseError>>()?;
        if policy.zeroize {
            passes.push(Pattern::Zeros);
        }
        Ok(Self { passes, verify: policy.verify, accept_bad_sectors: policy.accept_bad_sectors })
    }
}

impl Eraser for OverwriteEraser {
    fn run(&self, drive: &dyn Drive, control: &Control) -> Result<Done, EraseError> {
        let mut done = Done::default();
        let count = self.passes.len();
        for (number, pattern) in (1..).zip(&self.passes) {
            let stage = format!("overwrite {number}/{count} ({})", pattern.name());
            let bad = write_pass(drive, *pattern, &stage, control)?;
            done.actions.push(format!(
                "pass {number} of {count}: wrote {} over {} bytes",
                pattern.name(),
                drive.size_bytes()
            ));
            for range in &bad {
                let length = range.end - range.start;
                done.actions.push(format!(
                    "pass {number}: {length} bytes at offset {} cannot be written",
                    range.start
                ));
            }
            // The last pass decides: it is the one that is read back.
            done.bad = bad;
        }
        if let (Some(error), false) = (EraseError::bad_sectors(&done.bad), self.accept_bad_sectors) {
            return Err(error);
        }
        Ok(done)
    }

    fn verify(&self, drive: &dyn Drive, done: &Done, control: &Control) -> Result<Vec<String>, EraseError> {
        let pattern = self.passes[self.passes.len() - 1];
        let size = drive.size_bytes();
        let (ranges, extent) = self.verify.ranges(size)?;
        let compared = read_back(drive, pattern, &ranges, &done.bad, control)?;
        let mut lines =
            vec![format!("{extent} {compared} bytes read back as the {} of the last pass", pattern.name())];
        for range in &done.bad {
            lines.push(format!(
                "NOT erased: {} bytes at offset {}, which cannot be written",
                range.end - range.start,
                range.start
            ));
        }
        Ok(lines)
    }
}

/// Writes the whole device once and waits until it is on stable storage.
pub(super) fn write_pass(
    drive: &dyn Drive,
    pattern: Pattern,
    stage: &str,
    control: &Control,
) -> Result<Vec<Range<u64>>, EraseError> {
    let size = drive.size_bytes();
    let (bad, done) = (BadRanges::default(), AtomicU64::new(0));
    control.progress(stage, 0, size, ProgressUnit::Bytes);
    in_parallel(&whole(size), control, |range, own| {
        let bytes = pattern.at(range.start, &mut own[..(range.end - range.start) as usize]);
        if let Err(error) = drive.write_at(range.start, bytes) {
            bad.isolate(drive, range.start, bytes, error, control)?;
        }
        let length = range.end - range.start;
        let so_far = done.fetch_add(length, Ordering::Relaxed) + length;
        control.progress(stage, so_far, size, ProgressUnit::Bytes);
        Ok(())
    })?;
    drive.flush()?;
    Ok(bad.into_sorted())
}

/// Does something with every request of the given ranges, in order, several at a time; ends at the first error, and
/// between requests when it is to stop.
pub(super) fn in_parallel(
    ranges: &[Range<u64>],
    control: &Control,
    work: impl Fn(Range<u64>, &mut [u8]) -> Result<(), EraseError> + Sync,
) -> Result<(), EraseError> {
    let starts: Vec<u64> = ranges
        .iter()
        .scan(0, |at, range| {
            let start = *at;
            *at += (range.end - range.start).div_ceil(REQUEST);
            Some(start)
        })
        .collect();
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let request = || {
        let number = next.fetch_add(1, Ordering::Relaxed);
        let index = starts.partition_point(|start| *start <= number).checked_sub(1)?;
        let range = &ranges[index];
        let start = range.start + (number - starts[index]) * REQUEST;
        (start < range.end).then(|| start..(start + REQUEST).min(range.end))
    };
    let worker = || {
        let mut own = AlignedBuf::new(REQUEST as usize);
        while !failed.load(Ordering::Relaxed) && !control.cancelled() {
            let Some(range) = request() else { break };
            if let Err(error) = work(range, &mut own) {
                failed.store(true, Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let outcome = thread::scope(|scope| {
        let workers: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        let mut outcome = Ok(());
        // All are waited for, whatever the first one says.
        for worker in workers {
            let one = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            outcome = outcome.and(one);
        }
        outcome
    });
    outcome.and_then(|()| control.go_on("partly overwritten"))
}
