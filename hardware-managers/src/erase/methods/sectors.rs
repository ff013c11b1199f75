//! Finding the sectors of a request that cannot be written, and writing the others.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;

use tacit_blockdev::{Drive, Error};

use crate::erase::control::Control;
use crate::erase::error::EraseError;

/// So many bad ranges are a broken device; each costs seconds.
const MOST: usize = 512;

/// Ranges that could not be written.
#[derive(Debug, Default)]
pub(super) struct BadRanges(Mutex<Vec<Range<u64>>>);

impl BadRanges {
    /// Writes a request that failed piece by piece, down to single sectors.
    ///
    /// # Errors
    ///
    /// [`EraseError::Device`] when the device is gone, [`EraseError::Broken`], [`EraseError::Cancelled`].
    pub(super) fn isolate(
        &self,
        drive: &dyn Drive,
        offset: u64,
        buffer: &[u8],
        error: Error,
        control: &Control,
    ) -> Result<(), EraseError> {
        if is_gone(&error) {
            return Err(error.into());
        }
        // Every failure may take a drive half a minute.
        control.alive();
        control.go_on("partly overwritten")?;
        let sector = drive.logical_sector().max(1) as usize;
        if buffer.len() <= sector {
            return self.add(offset..offset + buffer.len() as u64);
        }
        let half = (buffer.len() / 2).next_multiple_of(sector).min(buffer.len());
        let (first, second) = buffer.split_at(half);
        for (at, part) in [(offset, first), (offset + half as u64, second)] {
            if part.is_empty() {
                continue;
            }
            if let Err(error) = drive.write_at(at, part) {
                self.isolate(drive, at, part, error, control)?;
            }
        }
        Ok(())
    }

    fn add(&self, range: Range<u64>) -> Result<(), EraseError> {
        let mut ranges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match ranges.iter().position(|known| known.end == range.start || known.start == range.end) {
            Some(at) => ranges[at] = ranges[at].start.min(range.start)..ranges[at].end.max(range.end),
            None if ranges.len() >= MOST => return Err(EraseError::Broken),
            None => ranges.push(range),
        }
        // A range that only grows is a device that refuses everything.
        let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        if total > (MOST as u64) << 12 { Err(EraseError::Broken) } else { Ok(()) }
    }

    pub(super) fn into_sorted(self) -> Vec<Range<u64>> {
        let mut ranges = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        ranges.sort_by_key(|range| range.start);
        ranges
    }
}

/// Whether the device itself is no longer there, or takes no writes at all.
fn is_gone(error: &Error) -> bool {
    let number = error.io_error().and_then(std::io::Error::raw_os_error);
    // ENXIO, ENODEV, EROFS, EPERM, EACCES, EBADF, ESHUTDOWN, ENOSPC; without a number it is no matter of sectors.
    number.is_none_or(|number| matches!(number, 6 | 19 | 30 | 1 | 13 | 9 | 108 | 28))
}
