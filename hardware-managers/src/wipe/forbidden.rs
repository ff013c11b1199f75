//! Why a device must not be written to, whatever the step: one answer for those that write to disks which they chose.

use std::path::Path;

use serde_json::Value;
use tacit_blockdev::{Access, Device, Error};

use super::guard::reserved;
use super::media::ParameterLabel;
use super::plan::Plan;
use super::probe::Follow;
use super::skip::SkipList;
use super::stack::underneath;
use super::survey::survey;
use crate::chain::chain;
use crate::machine::{Machine, is_virtual_medium};

/// What is on a device, in words.
///
/// # Errors
///
/// When it cannot be read.
pub(crate) fn contents(node: &Path) -> Result<Vec<String>, Error> {
    Ok(Plan::make(&Device::open(node, Access::Read)?, Follow::Guards)?.contents())
}

/// Whether file systems that other machines may use are left alone: an operator can say otherwise.
pub(crate) fn guards_shared(node: &Value) -> bool {
    !["driver_internal_info", "driver_info"]
        .iter()
        .any(|place| node[*place]["wipe_special_filesystems"] == Value::Bool(true))
}

/// A unit that other machines have registered with, or a medium that a controller plays, in words; where `guarded`, also
/// a file system that they may have mounted, and what cannot be read or asked and so cannot be judged.
pub(crate) fn forbidden(machine: &Machine, skip: &SkipList, guarded: bool, device: &str) -> Option<String> {
    let opened = Device::open(&machine.device_node(device), Access::Read);
    let found = opened.and_then(|device| match device.size_bytes() {
        0 => Ok(None),
        _ => survey(&device, skip).map(Some),
    });
    let found = match found {
        Err(error) if guarded => {
            return Some(format!("{} (wipe_special_filesystems would go ahead)", chain(&error)));
        }
        Err(_) => None,
        Ok(found) => Some(found?),
    };
    let name = device.trim_start_matches("/dev/").replace('/', "!");
    if is_virtual_medium(&machine.roots().sys.join("block").join(name)) {
        return Some(format!("{device} is a virtual medium of the management controller"));
    }
    if found.as_ref().is_some_and(|found| found.parameter_label == ParameterLabel::Real) {
        return Some(format!("{device} is a virtual medium with parameters"));
    }
    found
        .and_then(|found| found.shared)
        .filter(|_| guarded)
        .map(|content| format!("{device} holds {content}, which other machines may use"))
        .or_else(|| Some(format!("{device}: {}", reserved(machine, device, guarded)?)))
        .or_else(|| {
            // What is written to an array is written to its disks.
            let below = underneath(machine.roots(), device);
            let every = if below.is_empty() { Vec::new() } else { machine.every_disk() };
            let mut units = every.iter().filter(|disk| below.contains(&disk.name));
            units.find_map(|disk| Some(format!("{}: {}", disk.name, reserved(machine, &disk.name, guarded)?)))
        })
}
