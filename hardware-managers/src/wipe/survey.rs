//! What of interest to guards is on a disk, for those who erase it in other ways.

use tacit_blockdev::{Device, Error};

use super::arrays::{self, KeptArray};
use super::guard::protected_content;
use super::media::{ParameterLabel, parameter_label};
use super::plan::Plan;
use super::probe::Follow;
use super::skip::SkipList;

/// Formats whose superblock makes a disk, or a partition of it, a part of an array.
const MEMBERS: [&str; 3] = ["md RAID", "DDF RAID", "Intel RAID"];

/// Findings on a disk of at least one sector.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Survey {
    /// A file system that other machines may use, in words.
    pub(crate) shared: Option<String>,
    /// Name of the RAID format whose superblock is there.
    pub(crate) raid_member: Option<&'static str>,
    /// The array that the skip list names and that a superblock on it belongs to.
    pub(crate) kept_volume: Option<KeptArray>,
    /// Of a medium by which a BMC hands parameters over.
    pub(crate) parameter_label: ParameterLabel,
}

/// Reads, and writes nothing.
///
/// # Errors
///
/// When the disk cannot be read.
pub(crate) fn survey(device: &Device, skip: &SkipList) -> Result<Survey, Error> {
    let plan = Plan::make(device, Follow::Guards)?;
    let mut hits = plan.regions.iter().flat_map(|(_, found)| found);
    let members = arrays::members(device, "", &plan)?;
    Ok(Survey {
        shared: protected_content(&plan),
        raid_member: hits.find_map(|hit| MEMBERS.into_iter().find(|name| *name == hit.name)),
        kept_volume: arrays::kept(&members, skip),
        parameter_label: parameter_label(device)?,
    })
}
