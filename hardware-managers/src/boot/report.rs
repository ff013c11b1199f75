use serde::{Deserialize, Serialize};

/// What a boot entry is wanted for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BootEntryRequest {
    /// Unique GUID of the EFI system partition, when the table has several.
    pub efi_system_part_uuid: Option<String>,
    /// Label for a loader that brings none of its own.
    pub label: Option<String>,
    pub order: BootOrderPolicy,
}

/// Where in `BootOrder` the entry goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootOrderPolicy {
    /// Before all others.
    #[default]
    First,
    /// Behind the entry that this boot came from, for sites where the network must stay first.
    AfterCurrent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootEntryOutcome {
    /// A new entry was written.
    Created,
    /// An equal entry was there already.
    Reused,
    /// There was nothing to do; the reason says why.
    Skipped,
}

/// What was done, and what the firmware shows afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootEntryReport {
    pub outcome: BootEntryOutcome,
    pub reason: Option<String>,
    /// `Boot0003`.
    pub entry: Option<String>,
    pub label: Option<String>,
    /// Path on the EFI system partition, with backslashes.
    pub loader: Option<String>,
    /// Number of the EFI system partition.
    pub partition: Option<u32>,
    /// Entries that were removed, with their labels.
    pub removed: Vec<String>,
    /// `BootOrder` before and after, as four hexadecimal digits each.
    pub order_before: Vec<String>,
    pub order_after: Vec<String>,
    /// What the firmware did not keep as it was written, and what else deserves a look.
    pub warnings: Vec<String>,
}

impl BootEntryReport {
    pub(super) fn skipped(reason: impl Into<String>) -> Self {
        Self {
            outcome: BootEntryOutcome::Skipped,
            reason: Some(reason.into()),
            entry: None,
            label: None,
            loader: None,
            partition: None,
            removed: Vec::new(),
            order_before: Vec::new(),
            order_after: Vec::new(),
            warnings: Vec::new(),
        }
    }
}
