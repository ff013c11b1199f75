//! What the guards found out about a device.

use crate::wipe::{KeptArray, ParameterLabel};

/// Another namespace of the same controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Companion {
    pub(crate) name: String,
    /// Its number; `None` where the kernel does not tell it, so that nothing that would reach it is used.
    pub(crate) namespace: Option<u32>,
}

/// Facts that decide whether a device may be erased at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Whether this agent may touch it.
    pub(crate) allowed: bool,
    /// Bytes, as the opened device says.
    pub(crate) size: u64,
    pub(crate) read_only: bool,
    /// A hint of `skip_block_devices` holds for it.
    pub(crate) skip_listed: bool,
    /// The array that `skip_block_devices` names and that its superblock says it belongs to.
    pub(crate) kept_volume: Option<KeptArray>,
    /// A medium by which a BMC hands parameters over.
    pub(crate) virtual_medium: bool,
    /// What its first sector says of such a medium.
    pub(crate) parameter_label: ParameterLabel,
    /// Mounts, swap and devices that use it, one line each.
    pub(crate) held: Vec<String>,
    /// The running array that it is a part of, when that is erased, too.
    pub(crate) member_of: Option<String>,
    /// The name of a RAID format whose superblock it carries, while no array uses it.
    pub(crate) raid_member: Option<String>,
    /// A file system that other machines may use.
    pub(crate) shared: Option<String>,
    /// Why its content could not be looked at.
    pub(crate) unreadable: Option<String>,
    /// Whether the kernel discards on it.
    pub(crate) discards: bool,
    /// Other namespaces of its controller that are not to be erased.
    pub(crate) siblings: Vec<String>,
    /// All other namespaces of its controller that this machine sees, erased or not.
    pub(crate) companions: Vec<Companion>,
    /// What it shares a controller with is erased after it, not beside it.
    pub(crate) lane: String,
}

impl Findings {
    /// Of a device of which nothing is known, and why: it is left alone.
    pub(crate) fn not_asked(problem: String) -> Self {
        Self { allowed: true, size: 1, held: vec![problem], ..Self::default() }
    }
}
