//! What a destructive step intends, and what it can show for itself. Success without a proof is a bug.

use serde::{Deserialize, Serialize};

use crate::BlockDevice;

/// What became of one device: evidence that it was treated as asked, or the account of how that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Device node.
    pub device: String,
    pub serial: Option<String>,
    pub model: Option<String>,
    #[serde(default)]
    pub wwn: Option<String>,
    /// Revision of the device's firmware.
    #[serde(default)]
    pub firmware: Option<String>,
    /// Bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// RFC 3339, UTC.
    #[serde(default)]
    pub started: Option<String>,
    /// RFC 3339, UTC.
    #[serde(default)]
    pub finished: Option<String>,
    /// Short name of what was done: `metadata-wipe`, `nvme-sanitize-crypto`, `overwrite`, …
    pub method: String,
    pub standard: EraseStandard,
    /// What was done and found, one line each, in order.
    pub actions: Vec<String>,
    /// What was read back from the device afterwards to prove it.
    pub verification: Vec<String>,
    pub result: ProofResult,
    /// The hardware manager from outside whose word this is; absent where the agent saw it all itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<String>,
}

impl Proof {
    /// Of a disk with which nothing was done yet.
    pub fn of(disk: &BlockDevice) -> Self {
        Self {
            device: disk.name.clone(),
            serial: disk.serial.clone(),
            model: disk.model.clone(),
            wwn: disk.wwn.clone(),
            size: Some(disk.size),
            method: "none".to_owned(),
            ..Self::default()
        }
    }

    /// The device was left alone as planned.
    #[must_use]
    pub fn skipped<T: AsRef<str>>(mut self, reasons: &[T]) -> Self {
        self.actions.extend(reasons.iter().map(|reason| format!("skipped: {}", reason.as_ref())));
        self.result = ProofResult::Skipped;
        self
    }

    /// The device is not as it should be; nothing is claimed of it any more.
    #[must_use]
    pub fn failed(mut self, reason: &str) -> Self {
        self.actions.push(format!("failed: {reason}"));
        self.verification.clear();
        self.standard = EraseStandard::None;
        self.result = ProofResult::Failed;
        self
    }
}

/// The words of NIST SP 800-88r2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EraseStandard {
    /// Only metadata was removed: not sanitisation in the sense of the standard.
    #[default]
    None,
    Clear,
    Purge,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProofResult {
    Proven,
    #[default]
    Skipped,
    /// Refused, failed or stopped: the last of [`Proof::actions`] says why. Occurs only beside an error.
    Failed,
}

/// What a destructive step would do to one device, and why: all that `dry_run` returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevicePlan {
    /// Device node.
    pub device: String,
    pub serial: Option<String>,
    pub model: Option<String>,
    pub verdict: PlanVerdict,
    /// Why it is skipped or refused; what is known of it otherwise.
    pub reasons: Vec<String>,
    /// In the order in which they are tried; the first that succeeds is proven and ends the work on the device.
    pub methods: Vec<PlannedMethod>,
}

/// What is to become of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlanVerdict {
    Erase,
    /// Left alone, and the step succeeds.
    Skip,
    /// Left alone, and the step fails.
    Refuse,
}

/// One way to erase a device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedMethod {
    /// As [`Proof::method`].
    pub method: String,
    pub standard: EraseStandard,
    /// What the device says that it takes.
    pub estimated_seconds: Option<u64>,
    /// Why this one, here.
    pub reason: String,
}
