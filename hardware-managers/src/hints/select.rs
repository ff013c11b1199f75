//! Which disk the system goes on.

use std::time::Duration;

use serde_json::Value;
use tacit_blockdev::{Access, Device};
use tacit_model::BlockDevice;

use super::device::{HintError, RootDeviceHints};
use crate::ask::ask_all;
use crate::chain::chain;
use crate::machine::{MINIMUM_BYTES, Machine, in_lsblk_order};
use crate::wipe::{KeptArray, SkipList, has_software_raid, kept_volume, listed, survey};

/// Why no disk was chosen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RootDeviceError {
    #[error("the root device hints cannot be used")]
    Hints(#[source] HintError),
    #[error("skip_block_devices cannot be used")]
    SkipList(#[source] HintError),
    #[error("root_device_policy must be 'first' or 'refuse', not {found}")]
    Policy { found: String },
    /// Each miss names a disk and the first hint that it failed on.
    #[error("no disk matches the root device hints: {}", describe(misses))]
    NoMatch { misses: Vec<(String, String)> },
    #[error("{} match the root device hint {hint}, which should name one disk", disks.join(" and "))]
    Ambiguous { hint: String, disks: Vec<String> },
    #[error("no disk of at least 4 GiB that a system may go on: {}", describe(disks))]
    TooSmall { disks: Vec<(String, String)> },
    /// It was made in this boot, and now it is not there, or the skip list names it.
    #[error("the root volume {device} cannot be used: {problem}")]
    RootVolume { device: String, problem: &'static str },
}

impl RootDeviceError {
    /// Class name of IPA (contract §1.7); its code is 404.
    pub fn class(&self) -> &'static str {
        "DeviceNotFound"
    }

    pub fn code(&self) -> u16 {
        404
    }

    /// With the disks that were no choice, and why.
    fn and(mut self, excluded: Vec<(String, String)>) -> Self {
        if let Self::NoMatch { misses: disks } | Self::TooSmall { disks } = &mut self {
            disks.extend(excluded);
        }
        self
    }
}

/// What happens when hints hold for several disks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AmbiguityPolicy {
    /// An error if one of the hints should belong to one disk only (serial, WWN, place, name), else the first.
    #[default]
    RefuseUnique,
    /// The first, in the order in which `lsblk` lists disks: Ironic's way.
    First,
    /// An error.
    Refuse,
}

impl AmbiguityPolicy {
    /// `properties.root_device_policy` of a node: `first`, `refuse`, or nothing.
    ///
    /// # Errors
    ///
    /// [`RootDeviceError::Policy`] for anything else.
    pub fn from_node(node: &Value) -> Result<Self, RootDeviceError> {
        match &node["properties"]["root_device_policy"] {
            Value::Null => Ok(Self::default()),
            Value::String(word) if word == "first" => Ok(Self::First),
            Value::String(word) if word == "refuse" => Ok(Self::Refuse),
            other => Err(RootDeviceError::Policy { found: other.to_string() }),
        }
    }

    /// The hint for which several disks are an error; `None` where the first of them is taken.
    fn refuses(self, hints: &RootDeviceHints) -> Option<String> {
        match self {
            Self::First => None,
            Self::RefuseUnique => hints.unique_hints().first().map(|hint| (*hint).to_owned()),
            Self::Refuse => {
                Some(hints.unique_hints().first().copied().unwrap_or(hints.first_name()).to_owned())
            }
        }
    }
}

/// What was said of arrays when they were made in this boot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Volumes {
    pub(crate) root: Option<String>,
    /// Arrays for data and the disks that they lie on, with the reason why each is no target.
    pub(crate) others: Vec<(String, String)>,
}

/// For how long a disk may be silent: no system goes on one that is.
const SILENCE: Duration = Duration::from_secs(120);

/// The disk that was chosen.
#[derive(Clone, Debug)]
pub struct RootChoice {
    pub disk: BlockDevice,
    /// Why it is this one, in words.
    pub reason: String,
}

/// The whole choice for a node (IPA contract §6).
pub(crate) fn root_device_of(
    machine: &Machine,
    node: &Value,
    volumes: Volumes,
) -> Result<RootChoice, RootDeviceError> {
    let policy = AmbiguityPolicy::from_node(node)?;
    let skip = SkipList::from_node(node).map_err(RootDeviceError::SkipList)?;
    let mut disks = machine.disks();
    let mut members: Vec<(String, String)> = Vec::new();
    let mut excluded = volumes.others;
    let (asked, listed) = (machine.clone(), skip);
    let answers = ask_all(&disks, SILENCE, &|| false, move |disk| standing(&asked, &listed, disk));
    for (disk, answer) in disks.iter().zip(answers.unwrap_or_default()) {
        match answer {
            Ok(Some(Standing::Kept(reason))) | Err(reason) => excluded.push((disk.name.clone(), reason)),
            Ok(Some(Standing::Member(reason))) => members.push((disk.name.clone(), reason)),
            Ok(None) => {}
        }
    }
    if let Some(device) = &volumes.root {
        let unusable = |problem| RootDeviceError::RootVolume { device: device.clone(), problem };
        if excluded.iter().any(|(kept, _)| kept == device) {
            return Err(unusable("the skip list keeps it"));
        }
        let disk =
            disks.into_iter().find(|disk| disk.name == *device).ok_or_else(|| unusable("it is not there"))?;
        return Ok(RootChoice { disk, reason: "it was made as the root volume in this boot".to_owned() });
    }
    let hints = hints_of(node);
    // Hints that are true of many disks mean the array, not what it is made of.
    let names_one = hints
        .and_then(|hints| RootDeviceHints::from_json(hints).ok())
        .is_some_and(|hints| !hints.unique_hints().is_empty());
    if names_one {
        members.clear();
    }
    disks.retain(|disk| !excluded.iter().any(|(name, _)| *name == disk.name));
    let whole = |disk: &&BlockDevice| !members.iter().any(|(name, _)| *name == disk.name);
    let whole: Vec<BlockDevice> = disks.iter().filter(whole).cloned().collect();
    let disk = match select_root_device_with(&whole, hints, policy) {
        // The node is to have no array: what is left of one is a former owner's, and in nobody's way.
        Err(RootDeviceError::NoMatch { .. } | RootDeviceError::TooSmall { .. })
            if !members.is_empty() && !has_software_raid(node) =>
        {
            select_root_device_with(&disks, hints, policy)
        }
        chosen => {
            excluded.append(&mut members);
            chosen
        }
    };
    let disk = disk.map_err(|error| error.and(excluded))?;
    let reason = match hints {
        Some(hints) => format!("the root device hints {hints} hold for it"),
        None => "without root device hints it is the smallest that a system may go on".to_owned(),
    };
    Ok(RootChoice { disk, reason })
}

/// Why a disk is not like any other.
enum Standing {
    /// The operator's list keeps it, or nobody knows whether it does.
    Kept(String),
    /// A part of it belongs to an array: alone it is half of something.
    Member(String),
}

fn standing(machine: &Machine, skip: &SkipList, disk: &BlockDevice) -> Option<Standing> {
    if listed(machine, skip, disk) {
        return Some(Standing::Kept("named by skip_block_devices".to_owned()));
    }
    let kept = |array: KeptArray| {
        Standing::Kept(format!("of the array {}, which skip_block_devices names", array.entry))
    };
    match kept_volume(machine, skip, &disk.name) {
        Ok(None) => {}
        Ok(Some(array)) => return Some(kept(array)),
        Err(error) => return Some(Standing::Kept(chain(&error))),
    }
    let device = Device::open(&machine.device_node(&disk.name), Access::Read);
    match device.and_then(|device| survey(&device, skip)) {
        Ok(found) => match (found.kept_volume, found.raid_member) {
            (Some(array), _) => Some(kept(array)),
            (None, format) => format.map(|format| {
                let text =
                    "superblock of an array; delete_configuration or erase_devices_metadata removes it";
                Standing::Member(format!("it has the {format} {text}"))
            }),
        },
        // What cannot be read cannot be written to either; but it may be what the list means.
        Err(error) => skip.has_volumes().then(|| Standing::Kept(chain(&error))),
    }
}

/// The instance's hints before the node's. Only what says nothing is passed over: something that is not an object is
/// for the selection to refuse.
fn hints_of(node: &Value) -> Option<&Value> {
    ["instance_info", "properties"].iter().map(|part| &node[*part]["root_device"]).find(|hints| match hints {
        Value::Null => false,
        Value::Object(hints) => !hints.is_empty(),
        _ => true,
    })
}

fn describe(misses: &[(String, String)]) -> String {
    if misses.is_empty() {
        return "the machine has no disks".to_owned();
    }
    let lines: Vec<String> = misses.iter().map(|(disk, miss)| format!("{disk}: {miss}")).collect();
    lines.join("; ")
}

/// [`select_root_device_with`] the policy that holds when a node names none.
///
/// # Errors
///
/// [`RootDeviceError`].
pub fn select_root_device(
    disks: &[BlockDevice],
    hints: Option<&Value>,
) -> Result<BlockDevice, RootDeviceError> {
    select_root_device_with(disks, hints, AmbiguityPolicy::default())
}

/// Chooses by the hints, or, without any, the smallest eligible disk of at least 4 GiB.
///
/// # Errors
///
/// [`RootDeviceError`], with what each disk lacked. A hint that should belong to one disk only and holds for two is
/// an error by default: the machine is not what the operator believes it to be.
pub fn select_root_device_with(
    disks: &[BlockDevice],
    hints: Option<&Value>,
    policy: AmbiguityPolicy,
) -> Result<BlockDevice, RootDeviceError> {
    let hints = match hints {
        None | Some(Value::Null) => None,
        Some(value) => Some(RootDeviceHints::from_json(value).map_err(RootDeviceError::Hints)?)
            .filter(|hints| !hints.is_empty()),
    };
    let Some(hints) = hints else { return smallest(disks) };
    let mut matching: Vec<&BlockDevice> = disks.iter().filter(|disk| hints.matches(disk)).collect();
    matching.sort_by(|a, b| in_lsblk_order(&a.name, &b.name));
    if let ([_, _, ..], Some(hint)) = (matching.as_slice(), policy.refuses(&hints)) {
        let disks = matching.iter().map(|disk| disk.name.clone()).collect();
        return Err(RootDeviceError::Ambiguous { hint, disks });
    }
    matching.first().map(|disk| (*disk).clone()).ok_or_else(|| RootDeviceError::NoMatch {
        misses: disks.iter().filter_map(|disk| Some((disk.name.clone(), hints.first_miss(disk)?))).collect(),
    })
}

fn smallest(disks: &[BlockDevice]) -> Result<BlockDevice, RootDeviceError> {
    let reasons = |disk: &BlockDevice| {
        let small = format!("{} bytes", disk.size);
        if disk.size < MINIMUM_BYTES { small } else { disk.ineligible.join(", ") }
    };
    disks
        .iter()
        .filter(|disk| disk.size >= MINIMUM_BYTES && disk.ineligible.is_empty())
        .min_by(|a, b| (a.size, &a.name).cmp(&(b.size, &b.name)))
        .cloned()
        .ok_or_else(|| RootDeviceError::TooSmall {
            disks: disks.iter().map(|disk| (disk.name.clone(), reasons(disk))).collect(),
        })
}
