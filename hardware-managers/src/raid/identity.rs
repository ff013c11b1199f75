//! Which array a running one is: md tells it on the members only.

use tacit_blockdev::{Access, Device, Error};

use super::arrays::{self, Array, Member};
use super::superblock::{self, Superblock};
use crate::machine::Machine;

/// What the first readable member says of its array.
pub(super) fn identity(machine: &Machine, array: &Array) -> Option<Superblock> {
    array.members.iter().find_map(|member| of_member(machine, array, member).ok()?)
}

/// The names, `host:name` or `name`, and identifiers that the members have for the array with this device name: more than
/// one where they do not agree, none for what is no array of md's own.
///
/// # Errors
///
/// When no member can be read.
pub(crate) fn names(machine: &Machine, device: &str) -> Result<Vec<(String, [u8; 16])>, Error> {
    let Some(array) = arrays::read(machine, device) else { return Ok(Vec::new()) };
    let (mut names, mut failure, mut readable) = (Vec::new(), None, false);
    for member in &array.members {
        match of_member(machine, &array, member) {
            Ok(found) => {
                readable = true;
                names.extend(found.and_then(|found| Some((found.name?, bytes(found.uuid.as_deref()?)?))));
            }
            Err(error) => failure = Some(error),
        }
    }
    names.sort();
    names.dedup();
    failure.filter(|_| !readable).map_or(Ok(names), Err)
}

fn bytes(digits: &str) -> Option<[u8; 16]> {
    u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)
}

/// The superblock of a member. An older array may have left one in another place.
fn of_member(machine: &Machine, array: &Array, member: &Member) -> Result<Option<Superblock>, Error> {
    let device = Device::open(&machine.device_node(&member.disk), Access::Read)?;
    let mut found = superblock::find(&device, member.start, member.length)?;
    found.sort_by_key(|found| found.version != array.metadata);
    Ok(found.into_iter().next())
}
