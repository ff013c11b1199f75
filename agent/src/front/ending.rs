use std::process::ExitCode;

/// How a command ended; its number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything that was asked for is done, and proven.
    Done = 0,
    /// At least one device is not erased, or not proven to be, or the output could not be written.
    Failed = 1,
    /// The arguments make no sense. Nothing was touched.
    Usage = 2,
    /// A guard, or the missing consent, was in the way. Nothing was touched.
    Refused = 3,
    /// It was stopped; the output says what state each device is in.
    Cancelled = 4,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(ending as u8)
    }
}
