use std::ops::Range;

use tacit_blockdev::Error;

use crate::chain::chain;
use crate::drives::DriveError;

/// Why one device is not erased, or not proven to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EraseError {
    #[error("input or output failed")]
    Device(#[from] Error),
    /// The drive's own command had no success; the text has all causes.
    #[error("{details}")]
    Drive { details: String },
    #[error("the marks written at {missing} of {all} places did not read back before anything was erased")]
    NotKept { missing: usize, all: usize },
    #[error("no marks could be written: {first}")]
    NoMarks { first: String },
    #[error(
        "the drive was locked and is open now; nothing could be marked before, so that this proves nothing"
    )]
    Opened,
    /// Whatever the device claimed.
    #[error("what was written before is still readable at {count} of {all} places, first at offset {offset}")]
    Survived { count: usize, all: usize, offset: u64 },
    #[error("offset {offset} cannot be read, so that nothing is known of what is there")]
    Unreadable { offset: u64, source: Error },
    #[error("offset {offset} does not read back as it was written")]
    Differs { offset: u64 },
    #[error("{count} bad ranges, {bytes} bytes in all, first at offset {offset}, still hold what was there")]
    BadSectors { count: usize, bytes: u64, offset: u64 },
    #[error("too many sectors cannot be written: the device is broken")]
    Broken,
    #[error("its size changed from {before} to {after} bytes")]
    Resized { before: u64, after: u64 },
    #[error("another drive answers now, or it does not say which: {found} instead of {wanted}")]
    Swapped { wanted: String, found: String },
    /// Since the plan was made.
    #[error("not begun: {reasons}")]
    Guarded { reasons: String },
    /// Nothing else can be done with the drive until it is done.
    #[error("{details}")]
    StillWorking { details: String },
    /// Every method that was planned, with its problem.
    #[error("{problems}")]
    Exhausted { problems: String },
    #[error("no random numbers could be had")]
    Random { source: std::io::Error },
    #[error("stopped as asked; {state}")]
    Cancelled { state: String },
}

impl EraseError {
    /// That there are bad ranges, if there are any.
    pub(super) fn bad_sectors(bad: &[Range<u64>]) -> Option<Self> {
        let bytes = bad.iter().map(|range| range.end - range.start).sum();
        bad.first().map(|first| Self::BadSectors { count: bad.len(), bytes, offset: first.start })
    }

    /// Whether the drive may go on by itself.
    pub(crate) fn is_still_working(&self) -> bool {
        matches!(self, Self::StillWorking { .. } | Self::Cancelled { .. })
    }
}

impl From<DriveError> for EraseError {
    fn from(error: DriveError) -> Self {
        match error {
            DriveError::Cancelled { operation } => {
                Self::Cancelled { state: format!("{operation} was left half-way") }
            }
            DriveError::Left { .. } => Self::Cancelled {
                state: format!("{error}; erase it again to wait for the end and to prove it"),
            },
            error if error.still_working() => Self::StillWorking { details: chain(&error) },
            error => Self::Drive { details: chain(&error) },
        }
    }
}
