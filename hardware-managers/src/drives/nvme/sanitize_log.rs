use tacit_blockdev::{CommandError, Drive};

use super::admin::{log_page, u16_at, u32_at};
use super::sanitize::action;
use crate::drives::Sanitize;

const SANITIZE_STATUS: u8 = 0x81;
/// The drive tells no estimate.
const NO_ESTIMATE: u32 = 0xffff_ffff;
/// Passes that the estimate for an overwrite is made for.
const ESTIMATED_PASSES: u64 = 16;

/// How the most recent sanitize operation stands (SOS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SanitizeState {
    Never,
    Completed,
    Running,
    Failed,
    /// Completed, and the drive deallocated although it was asked not to.
    CompletedDeallocated,
    /// A code that the specification does not have.
    Unknown(u8),
}

/// Sanitize Status (Base 2.1, 5.1.12.1.33). What it says survives resets and power cycles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SanitizeLog {
    /// Of 65536.
    pub(super) progress: u16,
    pub(super) state: SanitizeState,
    /// Passes of an overwrite that are complete.
    pub(super) passes: u8,
    /// Nothing was written since the most recent success, or ever.
    pub(super) erased: bool,
    /// Command dword 10 of the most recent operation.
    pub(super) command: u32,
    /// The operation waits in the media verification state until it is told to go on.
    pub(super) verifying_media: bool,
    /// Seconds for overwrite, block erase and crypto erase.
    estimates: [u32; 3],
}

impl SanitizeLog {
    pub(super) fn read(drive: &dyn Drive) -> Result<Self, CommandError> {
        Ok(Self::parse(&log_page(drive, SANITIZE_STATUS, true)?))
    }

    fn parse(data: &[u8]) -> Self {
        let status = u16_at(data, 2);
        let state = match status & 7 {
            0 => SanitizeState::Never,
            1 => SanitizeState::Completed,
            2 => SanitizeState::Running,
            3 => SanitizeState::Failed,
            4 => SanitizeState::CompletedDeallocated,
            code => SanitizeState::Unknown(code as u8),
        };
        Self {
            progress: u16_at(data, 0),
            state,
            passes: (status >> 3 & 0x1f) as u8,
            erased: status & (1 << 8) != 0,
            command: u32_at(data, 4),
            verifying_media: data[36] & 0xf == 5,
            estimates: std::array::from_fn(|place| u32_at(data, 8 + 4 * place)),
        }
    }

    /// Whether the most recent operation was of this kind. Of an overwrite, whatever it wrote and how often.
    pub(super) fn is_kind(&self, what: Sanitize) -> bool {
        self.command & 7 == action(what)
    }

    /// What the drive says that an operation takes.
    pub(super) fn estimated_seconds(&self, what: Sanitize) -> Option<u64> {
        let seconds = match what {
            Sanitize::Overwrite(_) => self.estimates[0],
            Sanitize::Block => self.estimates[1],
            Sanitize::Crypto => self.estimates[2],
        };
        let seconds = (seconds != NO_ESTIMATE).then_some(u64::from(seconds))?;
        Some(match what {
            Sanitize::Overwrite(how) => (seconds * u64::from(how.passes)).div_ceil(ESTIMATED_PASSES),
            _ => seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drives::sanitize::Overwrite;

    #[test]
    fn estimates_are_those_of_the_operation() {
        let mut data = [0; 512];
        for (place, seconds) in [1600, 20, NO_ESTIMATE].into_iter().enumerate() {
            data[8 + 4 * place..12 + 4 * place].copy_from_slice(&u32::to_le_bytes(seconds));
        }
        let log = SanitizeLog::parse(&data);
        assert_eq!(log.state, SanitizeState::Never);
        let overwrite = |passes| Sanitize::Overwrite(Overwrite { passes, ..Overwrite::default() });
        assert_eq!(log.estimated_seconds(overwrite(3)), Some(300));
        assert_eq!(log.estimated_seconds(overwrite(16)), Some(1600));
        assert_eq!(log.estimated_seconds(Sanitize::Block), Some(20));
        assert_eq!(log.estimated_seconds(Sanitize::Crypto), None);
    }

    #[test]
    fn the_status_word_is_taken_apart() {
        let mut data = [0; 512];
        data[..4].copy_from_slice(&[0x00, 0x80, 2 | 5 << 3, 1]);
        data[4] = 0x13;
        data[36] = 5;
        let log = SanitizeLog::parse(&data);
        assert_eq!((log.progress, log.state, log.passes), (0x8000, SanitizeState::Running, 5));
        assert!(log.erased && log.verifying_media);
        assert!(log.is_kind(Sanitize::Overwrite(Overwrite::default())) && !log.is_kind(Sanitize::Block));
        data[2] = 7;
        assert_eq!(SanitizeLog::parse(&data).state, SanitizeState::Unknown(7));
    }
}
