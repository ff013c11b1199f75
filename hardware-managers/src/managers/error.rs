use std::fmt::Write as _;

use tacit_model::{Proof, ProofResult};

/// Class and message of a failure of the hardware managers themselves.
const UNUSABLE: (&str, &str) = ("HardwareManagerConfigurationError", "Hardware manager cannot be used");

/// One device that a step failed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceFailure {
    pub device: String,
    /// The whole chain of causes.
    pub reason: String,
}

/// Why a step did not succeed. The class names and codes are those of the IPA contract §1.7.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Not this manager's step: the next one is asked.
    #[error("hardware manager {manager} has no step {step}")]
    Unsupported { manager: String, step: String },
    #[error("no hardware manager has the step {step}")]
    NoManager { step: String },
    /// A parameter or a property of the node that the step reads.
    #[error("{parameter}: {problem}")]
    InvalidParameter { parameter: String, problem: String },
    /// All devices were tried; these failed. `proofs` are of all devices, in their order.
    #[error("{}", list(failures))]
    Erase { failures: Vec<DeviceFailure>, proofs: Vec<Proof>, touched: bool },
    /// A shared file system that other machines may be using. Nothing was touched.
    #[error("{device} holds {content}, which other machines may use; nothing was erased")]
    Protected { device: String, content: String },
    /// The caller asked to stop.
    #[error("cancelled after {done} of {total} devices")]
    Cancelled { done: usize, total: usize },
    /// The caller asked to stop a step of a manager from outside, and it did.
    #[error("hardware manager {manager} stopped {step} when it was asked to")]
    Stopped { manager: String, step: String, touched: bool },
    /// The caller asked to stop an erasure: what each device that is not done is left as. `proofs` are of all devices,
    /// in their order.
    #[error("stopped: {}", list(states))]
    Halted { states: Vec<DeviceFailure>, proofs: Vec<Proof>, touched: bool },
    /// The step ended, but a filter of devices failed meanwhile: what that kept from the step, nobody knows. `proofs` are
    /// of the devices that it reached.
    #[error("{step} ended, but without the devices that could not be listed: {faults}")]
    Unlisted { step: String, faults: String, proofs: Vec<Proof>, touched: bool },
    /// Any other failure, of a manager from outside.
    #[error("{details}")]
    Failed {
        class: &'static str,
        code: u16,
        message: &'static str,
        details: String,
        retry: bool,
        touched: bool,
    },
}

fn list(failures: &[DeviceFailure]) -> String {
    failures.iter().enumerate().fold(String::new(), |mut text, (at, failure)| {
        let separator = if at == 0 { "" } else { "; " };
        write!(text, "{separator}{}: {}", failure.device, failure.reason)
            .expect("writing to a String succeeds");
        text
    })
}

impl StepError {
    /// The hardware managers themselves are not as they should be.
    pub(super) fn configuration(details: String) -> Self {
        Self::Failed {
            class: UNUSABLE.0,
            code: 500,
            message: UNUSABLE.1,
            details,
            retry: false,
            touched: false,
        }
    }

    /// A machine whose disks cannot be listed is not one without disks.
    pub(crate) fn unlisted(error: &std::io::Error) -> Self {
        Self::Failed {
            class: "BlockDeviceError",
            code: 500,
            message: "Block device caused unknown error",
            details: format!("the machine's disks cannot be listed: {error}"),
            retry: true,
            touched: false,
        }
    }

    /// Class name of IPA's exception.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "IncompatibleHardwareMethodError",
            Self::NoManager { .. } => "HardwareManagerMethodNotFound",
            Self::InvalidParameter { .. } => "InvalidCommandParamsError",
            Self::Erase { .. } => "BlockDeviceEraseError",
            Self::Protected { .. } => "ProtectedDeviceError",
            Self::Cancelled { .. } | Self::Stopped { .. } | Self::Halted { .. } => "CleaningError",
            Self::Unlisted { .. } => UNUSABLE.0,
            Self::Failed { class, .. } => class,
        }
    }

    /// The code that belongs to the class.
    pub fn code(&self) -> u16 {
        match self {
            Self::InvalidParameter { .. } => 400,
            Self::Failed { code, .. } => *code,
            _ => 500,
        }
    }

    /// The fixed sentence that belongs to the class.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Unsupported { .. } => "Current HardwareManager doesn't support method",
            Self::NoManager { .. } => "No HardwareManager found to handle method",
            Self::InvalidParameter { .. } => "Invalid command parameters",
            Self::Erase { .. } => "Error erasing block device",
            Self::Protected { .. } => "Protected device",
            Self::Cancelled { .. } | Self::Stopped { .. } | Self::Halted { .. } => "Clean step failed",
            Self::Unlisted { .. } => UNUSABLE.1,
            Self::Failed { message, .. } => message,
        }
    }

    /// Names the things: devices, parameters, causes.
    pub fn details(&self) -> String {
        self.to_string()
    }

    /// What became of each device, as far as the step came.
    pub fn proofs(&self) -> &[Proof] {
        match self {
            Self::Erase { proofs, .. } | Self::Halted { proofs, .. } | Self::Unlisted { proofs, .. } => {
                proofs
            }
            _ => &[],
        }
    }

    /// The devices that are erased and proven, or left alone as planned.
    pub fn done(&self) -> impl Iterator<Item = &str> {
        let done = self.proofs().iter().filter(|proof| proof.result != ProofResult::Failed);
        done.map(|proof| proof.device.as_str())
    }

    /// Whether the same step may succeed when it is run again.
    pub fn retry(&self) -> bool {
        match self {
            Self::Erase { .. } | Self::Cancelled { .. } | Self::Stopped { .. } | Self::Halted { .. } => true,
            Self::Failed { retry, .. } => *retry,
            _ => false,
        }
    }

    /// Whether anything may have been written to a disk.
    pub fn disk_touched(&self) -> bool {
        match self {
            Self::Erase { touched, .. }
            | Self::Failed { touched, .. }
            | Self::Stopped { touched, .. }
            | Self::Halted { touched, .. }
            | Self::Unlisted { touched, .. } => *touched,
            Self::Cancelled { done, .. } => *done > 0,
            _ => false,
        }
    }
}
