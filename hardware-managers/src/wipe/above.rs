//! What stands upon a disk, as far as guards need to know it.

use tacit_blockdev::{Access, Device, Error};

use super::guard::protected_content;
use super::plan::Plan;
use super::probe::Follow;
use super::stack::Block;
use crate::chain::chain;
use crate::machine::{Machine, read_flag};

/// A file system that other machines may use, in words: within a logical volume it has no place on the disk that could
/// be told in advance.
///
/// # Errors
///
/// What cannot be read, in words, where nothing else has one: what is not known may be such a file system.
pub(super) fn shared_above(machine: &Machine, holders: &[&Block]) -> Result<Option<String>, String> {
    let mut unknown = None;
    for holder in holders {
        match shared_on(machine, holder) {
            Ok(None) => {}
            Ok(Some(content)) => return Ok(Some(format!("on {}: {content}", holder.node()))),
            Err(problem) => {
                unknown.get_or_insert(format!(
                    "cannot tell whether {}, which stands on it, has a file system that other machines may use: {problem} \
                     (wipe_special_filesystems allows the wipe all the same)",
                    holder.node()
                ));
            }
        }
    }
    unknown.map_or(Ok(None), Err)
}

fn shared_on(machine: &Machine, holder: &Block) -> Result<Option<String>, String> {
    if is_suspended(holder) {
        return Err(SUSPENDED.to_owned());
    }
    let probed = || -> Result<Option<String>, Error> {
        let device = Device::open(&machine.device_node(holder.node()), Access::Read)?;
        // An array or a mapping that does not run holds nothing.
        if device.size_bytes() == 0 {
            return Ok(None);
        }
        Ok(protected_content(&Plan::make(&device, Follow::Guards)?))
    };
    probed().map_err(|error| chain(&error))
}

/// Why a suspended device is not read.
pub(super) const SUSPENDED: &str = "it is suspended: reads would wait until somebody wakes it";

pub(super) fn is_suspended(block: &Block) -> bool {
    read_flag(&block.folder.join("dm/suspended"))
}
