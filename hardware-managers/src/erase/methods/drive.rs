//! Erasing by commands of the drive's own protocol.

use std::time::Duration;

use tacit_blockdev::Drive;
use tacit_model::ProgressUnit;

use super::overwrite::Pattern;
use super::readback::read_back;
use super::{Done, Eraser};
use crate::drives::{
    self, Clock, DriveFacts, EraseMethod, EraseOptions, LONGEST_ESTIMATE, PROGRESS_WHOLE, Wait,
};
use crate::erase::control::Control;
use crate::erase::error::EraseError;
use crate::erase::policy::Verify;

/// A drive that is slower than this, in bytes per second, is given up.
const SLOWEST: u64 = 20_000_000;
/// What any drive may take, however small.
const LEAST: Duration = Duration::from_secs(4 * 3600);
/// How much longer than the code that waits for the drive the watch over it waits.
const MARGIN: Duration = Duration::from_secs(900);

/// How long a drive may work on itself before it is given up.
pub(in crate::erase) fn patience(size_bytes: u64, estimated_seconds: Option<u64>) -> Duration {
    let estimate =
        estimated_seconds.map(Duration::from_secs).filter(|estimate| *estimate <= LONGEST_ESTIMATE);
    let estimate = estimate.unwrap_or_default().saturating_mul(2);
    (LEAST + Duration::from_secs(size_bytes / SLOWEST)).max(estimate)
}

/// Has the drive erase itself.
pub(in crate::erase) struct DriveEraser<'a> {
    pub(in crate::erase) method: EraseMethod,
    pub(in crate::erase) facts: &'a DriveFacts,
    pub(in crate::erase) psid: Option<&'a str>,
    /// Numbers of the other namespaces, which are erased in the same run.
    pub(in crate::erase) others: &'a [u32],
    pub(in crate::erase) verify: Verify,
    pub(in crate::erase) clock: &'a dyn Clock,
}

impl Eraser for DriveEraser<'_> {
    fn run(&self, drive: &dyn Drive, control: &Control) -> Result<Done, EraseError> {
        let name = self.method.name();
        let estimate = self.facts.capability(self.method).and_then(|known| known.estimated_seconds);
        let limit = patience(drive.size_bytes(), estimate);
        control.progress(name, 0, PROGRESS_WHOLE, ProgressUnit::Share);
        control.enter(name.to_owned(), limit + MARGIN);
        let wait = Wait {
            clock: self.clock,
            progress: &|done| control.progress(name, done, PROGRESS_WHOLE, ProgressUnit::Share),
            cancelled: &|| control.cancelled(),
        };
        let options = EraseOptions { psid: self.psid, others: self.others, ..EraseOptions::default() };
        match drives::erase(drive, self.facts.kind, self.method, &options, &wait) {
            Ok(actions) => {
                control.leave();
                control.progress(name, PROGRESS_WHOLE, PROGRESS_WHOLE, ProgressUnit::Share);
                Ok(Done { actions, bad: Vec::new() })
            }
            Err(error) => {
                let error = EraseError::from(error);
                if !error.is_still_working() {
                    control.leave();
                }
                Err(error)
            }
        }
    }

    /// What the drive reports is among the actions; what is read back of its content, the marks show. Only zeros that it
    /// was told to write can be compared.
    fn verify(&self, drive: &dyn Drive, _: &Done, control: &Control) -> Result<Vec<String>, EraseError> {
        if self.method != EraseMethod::ScsiWriteSame {
            return Ok(Vec::new());
        }
        let (ranges, extent) = self.verify.ranges(drive.size_bytes())?;
        let compared = read_back(drive, Pattern::Zeros, &ranges, &[], control)?;
        Ok(vec![format!("{extent} {compared} bytes read back as zeros")])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_drive_is_waited_for_as_long_as_it_likes() {
        assert_eq!(patience(0, Some(3600 * 24)), Duration::from_secs(2 * 3600 * 24));
        assert_eq!(patience(0, Some(u64::from(u32::MAX))), LEAST);
    }
}
