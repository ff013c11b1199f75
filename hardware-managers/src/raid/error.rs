use std::io;
use std::time::Duration;

use crate::chain::chain;
use crate::managers::StepError;
use crate::program::ProgramError;

/// Why an array was not made or not removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RaidError {
    /// The configuration, the disks or what is on them. Nothing was touched.
    #[error("{}", problems.join("; "))]
    Refused { problems: Vec<String> },
    #[error("mdadm had no success")]
    Mdadm(#[from] ProgramError),
    #[error("input or output failed on {device}")]
    Device { device: String, source: tacit_blockdev::Error },
    #[error("cannot read random bytes")]
    Random { source: io::Error },
    #[error("the partition table of {device} does not read back as it was written")]
    TableNotKept { device: String },
    #[error("the kernel did not show {what} within {} s", deadline.as_secs())]
    NotSeen { what: String, deadline: Duration },
    #[error("{array} is not what was asked for: {}", problems.join("; "))]
    NotAsAsked { array: String, problems: Vec<String> },
    #[error("still there after two attempts: {}", left.join("; "))]
    Left { left: Vec<String> },
    /// What was begun could not be taken back either.
    #[error("{}, and this is left of what was begun: {}", chain(error), left.join("; "))]
    Unfinished { error: Box<RaidError>, left: Vec<String> },
    #[error("the EFI system partition's copy cannot be made: {problem}")]
    SystemPartition { problem: String },
    #[error("cancelled after {done} of {total} disks")]
    Cancelled { done: usize, total: usize },
}

impl RaidError {
    /// As the step's outcome; `touched` when anything may have been written.
    pub(super) fn into_step(self, touched: bool) -> StepError {
        match self {
            Self::Cancelled { done, total } => StepError::Cancelled { done, total },
            Self::Refused { .. } => failed(self.to_string(), false, false),
            other => {
                let details = chain(&other);
                // What is left on the disks refuses a second attempt.
                let hopeless =
                    matches!(other, Self::Mdadm(ProgramError::Missing { .. }) | Self::Unfinished { .. });
                failed(details, !hopeless, touched)
            }
        }
    }
}

fn failed(details: String, retry: bool, touched: bool) -> StepError {
    StepError::Failed {
        class: "SoftwareRAIDError",
        code: 500,
        message: "Software RAID caused unknown error",
        details,
        retry,
        touched,
    }
}
