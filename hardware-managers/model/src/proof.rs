//! What a destructive step can show for itself. Success without a proof is a bug.

use serde::{Deserialize, Serialize};

/// Evidence that one device was treated as asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    /// Device node.
    pub device: String,
    pub serial: Option<String>,
    pub model: Option<String>,
    /// Short name of what was done: `metadata-wipe`, …
    pub method: String,
    pub standard: EraseStandard,
    /// What was done and found, one line each, in order.
    pub actions: Vec<String>,
    /// What was read back from the device afterwards to prove it.
    pub verification: Vec<String>,
    pub result: ProofResult,
}

/// The words of NIST SP 800-88r2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EraseStandard {
    /// Only metadata was removed: not sanitisation in the sense of the standard.
    None,
    Clear,
    Purge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofResult {
    Proven,
    Skipped,
}
