//! Errors of operations as they travel: a stable code, whether a retry helps and what the disk is left in.

use serde::{Deserialize, Serialize};
use tacit_model::Proof;

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}: {details}")]
pub struct OperationError {
    /// IPA's exception class name, `ImageChecksumError`: what `/v1` shows as `type` (IPA contract §1.7).
    #[serde(rename = "type")]
    pub class: String,
    /// HTTP-like number of that class; not the status of any response.
    pub code: u16,
    /// Static per class.
    pub message: String,
    /// Names the thing: device, URL, offset, expected and found values.
    pub details: String,
    /// Whether the same request may succeed when it is sent again.
    pub retry: bool,
    /// What state the target disk is left in.
    pub disk: DiskState,
    /// What became of each device of a step that failed or was stopped: those that were done in spite of it, those that
    /// were left alone, and those that failed. Shown by `/v2` for the operation, not in events and not by `/v1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
}

/// What an operation left on the disk it worked on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskState {
    /// Nothing was written.
    #[default]
    Untouched,
    /// Something was written, and no verified image is known to be on the disk. After a failed or cancelled write the
    /// first MiB and both GPT copies are zero; where the disk refused that, the details say so. A wipe that did not
    /// succeed says this of all disks together: only a proof tells what became of one.
    NotBootable,
    /// Holds a whole, verified image.
    Verified,
}
