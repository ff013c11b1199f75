use std::io;
use std::process::ExitStatus;
use std::time::Duration;

/// What an external manager did wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Fault {
    #[error("it is not to be trusted: {0}")]
    Untrusted(String),
    /// Most often its interpreter is missing in the ramdisk.
    #[error("it cannot be started")]
    Start(#[source] io::Error),
    #[error("it did not end within {} s, and was killed", .0.as_secs())]
    TimedOut(Duration),
    #[error("it closed its output and did not end within {} s, and was killed", .0.as_secs())]
    Lingered(Duration),
    #[error("killed and not gone, as when a disk does not answer: processes {0}")]
    Stays(String),
    #[error("it ended with {0}")]
    Ended(ExitStatus),
    #[error("it ended without an answer")]
    NoAnswer,
    #[error("its output ends in the middle of a line")]
    HalfLine,
    #[error("it wrote a line of more than {0} bytes, and was killed")]
    LongLine(usize),
    #[error("it wrote too much, and was killed")]
    Flood,
    #[error("it wrote what is no message: {problem}: {shown}")]
    Garbage { problem: String, shown: String },
    #[error("it answered {answer} to {request}")]
    Answer { request: &'static str, answer: &'static str },
    #[error("it answered for {answered} when it was asked for {asked}")]
    Subject { asked: String, answered: String },
    #[error("it went on after its answer")]
    SecondAnswer,
    #[error("it speaks version {0} of the protocol")]
    Protocol(u32),
    /// An answer that means nothing or that may not be.
    #[error("{0}")]
    Unusable(String),
    #[error("it says that it succeeded, and proves nothing: {0}")]
    Unproven(String),
    #[error("it cannot be spoken to")]
    Pipe(#[source] io::Error),
    /// What it said itself.
    #[error("{details}")]
    Said { details: String, retry: bool, touched: Option<bool> },
    #[error("it does not have that")]
    Unsupported,
    /// It was asked to stop, and did.
    #[error("it stopped when it was asked to")]
    Stopped,
}

impl Fault {
    /// The fault with its cause, on one line.
    pub(super) fn chain(&self) -> String {
        let cause = std::error::Error::source(self);
        cause.map_or_else(|| self.to_string(), |cause| format!("{self}: {cause}"))
    }
}
