//! Which disk the system goes on.

use serde_json::Value;
use tacit_model::BlockDevice;

use super::device::{HintError, RootDeviceHints};

/// Smallest disk that the default rule takes, in bytes (IPA contract §6).
const MINIMUM_BYTES: u64 = 4 << 30;

/// Why no disk was chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootDeviceError {
    #[error("the root device hints cannot be used")]
    Hints(#[source] HintError),
    /// Each miss names a disk and the first hint that it failed on.
    #[error("no disk matches the root device hints: {}", describe(misses))]
    NoMatch { misses: Vec<(String, String)> },
    #[error("{} match the root device hint {hint}, which should name one disk", disks.join(" and "))]
    Ambiguous { hint: String, disks: Vec<String> },
    #[error("no disk of at least 4 GiB: {}", describe(disks))]
    TooSmall { disks: Vec<(String, String)> },
}

impl RootDeviceError {
    /// Class name of IPA (contract §1.7); its code is 404.
    pub fn class(&self) -> &'static str {
        "DeviceNotFound"
    }

    pub fn code(&self) -> u16 {
        404
    }
}

fn describe(misses: &[(String, String)]) -> String {
    if misses.is_empty() {
        return "the machine has no disks".to_owned();
    }
    let lines: Vec<String> = misses.iter().map(|(disk, miss)| format!("{disk}: {miss}")).collect();
    lines.join("; ")
}

/// Chooses by the hints, or, without any, the smallest disk of at least 4 GiB.
///
/// # Errors
///
/// [`RootDeviceError`], with what each disk lacked. A hint that should belong to one disk only and holds for two is
/// an error: the machine is not what the operator believes it to be.
pub fn select_root_device(
    disks: &[BlockDevice],
    hints: Option<&Value>,
) -> Result<BlockDevice, RootDeviceError> {
    let hints = match hints {
        None | Some(Value::Null) => None,
        Some(value) => Some(RootDeviceHints::from_json(value).map_err(RootDeviceError::Hints)?)
            .filter(|hints| !hints.is_empty()),
    };
    let Some(hints) = hints else { return smallest(disks) };
    let mut matching: Vec<&BlockDevice> = disks.iter().filter(|disk| hints.matches(disk)).collect();
    matching.sort_by(|a, b| a.name.cmp(&b.name));
    if let ([_, _, ..], Some(hint)) = (matching.as_slice(), hints.unique_hints().first()) {
        return Err(RootDeviceError::Ambiguous {
            hint: (*hint).to_owned(),
            disks: matching.iter().map(|disk| disk.name.clone()).collect(),
        });
    }
    matching.first().map(|disk| (*disk).clone()).ok_or_else(|| RootDeviceError::NoMatch {
        misses: disks.iter().filter_map(|disk| Some((disk.name.clone(), hints.first_miss(disk)?))).collect(),
    })
}

fn smallest(disks: &[BlockDevice]) -> Result<BlockDevice, RootDeviceError> {
    disks
        .iter()
        .filter(|disk| disk.size >= MINIMUM_BYTES)
        .min_by(|a, b| (a.size, &a.name).cmp(&(b.size, &b.name)))
        .cloned()
        .ok_or_else(|| RootDeviceError::TooSmall {
            disks: disks.iter().map(|disk| (disk.name.clone(), format!("{} bytes", disk.size))).collect(),
        })
}
