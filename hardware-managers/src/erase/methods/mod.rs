//! The ways to erase, each behind the same trait.

mod discard;
mod drive;
mod overwrite;
mod readback;
mod sectors;

use std::ops::Range;

use tacit_blockdev::Drive;

use super::control::Control;
use super::error::EraseError;

pub(super) use discard::DiscardEraser;
pub(super) use drive::{DriveEraser, patience};
pub(super) use overwrite::OverwriteEraser;

/// What a method did.
#[derive(Debug, Default)]
pub(super) struct Done {
    /// For the proof, in order.
    pub(super) actions: Vec<String>,
    /// Bytes that could not be overwritten.
    pub(super) bad: Vec<Range<u64>>,
}

/// One way to erase one device.
pub(super) trait Eraser: Send + Sync {
    /// Erases. Stops where it can when `control` says so.
    ///
    /// # Errors
    ///
    /// [`EraseError`]: nothing is known of the content then.
    fn run(&self, drive: &dyn Drive, control: &Control) -> Result<Done, EraseError>;

    /// Shows by reading, through a device that was opened anew, what `run` claims. The marks are looked for besides.
    ///
    /// # Errors
    ///
    /// [`EraseError`].
    fn verify(&self, drive: &dyn Drive, done: &Done, control: &Control) -> Result<Vec<String>, EraseError>;
}
