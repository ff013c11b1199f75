//! The parts of arrays that lie on a machine's disks, whether the arrays run or not.

use std::collections::BTreeSet;

use tacit_blockdev::{Access, Device, Error};
use tacit_model::BlockDevice;

use super::arrays::{self, Place};
use super::superblock;
use crate::chain::chain;
use crate::machine::{Machine, names_in, read_text};
use crate::wipe::lanes;

/// A disk or a partition with a superblock of md's own.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// `/dev/sda1`.
    pub(super) node: String,
    /// The disk that it lies on, or is.
    pub(super) disk: String,
    /// Of the array.
    pub(super) uuid: String,
    /// `host:name` or `name`.
    name: Option<String>,
    pub(super) is_reshaping: bool,
    /// Whether an array of the kernel has it.
    pub(super) is_held: bool,
}

/// All parts, also on disks that an allow-list hides, by disk and partition. What cannot be read has none.
pub(super) fn parts(machine: &Machine) -> Vec<Part> {
    let held: BTreeSet<String> = arrays::list(machine)
        .into_iter()
        .flat_map(|array| array.members.into_iter().map(|member| member.device))
        .collect();
    let mut disks = machine.every_disk();
    // The unit is read through the multipath device.
    disks.retain(|disk| !is_path(machine, disk));
    let found = lanes::each(&disks, |disk| {
        on_disk(machine, disk, &held).unwrap_or_else(|error| {
            tracing::info!("no parts of arrays can be looked for: {}", chain(&error));
            Vec::new()
        })
    });
    found.into_iter().flatten().collect()
}

/// Names of all arrays that have a part on any disk.
pub(crate) fn all_names(machine: &Machine) -> Vec<String> {
    parts(machine).into_iter().filter_map(|part| part.name).collect()
}

fn is_path(machine: &Machine, disk: &BlockDevice) -> bool {
    let block = machine.roots().sys.join("block");
    let holders = names_in(&arrays::folder(machine.roots(), &disk.name).join("holders"));
    holders.iter().any(|holder| {
        read_text(&block.join(holder).join("dm/uuid")).is_some_and(|uuid| uuid.starts_with("mpath-"))
    })
}

fn on_disk(machine: &Machine, disk: &BlockDevice, held: &BTreeSet<String>) -> Result<Vec<Part>, Error> {
    let device = Device::open(&machine.device_node(&disk.name), Access::Read)?;
    let folder = arrays::folder(machine.roots(), &disk.name);
    let mut places: Vec<(String, Place)> = names_in(&folder)
        .into_iter()
        .filter(|name| folder.join(name).join("partition").exists())
        .map(|name| format!("/dev/{}", name.replace('!', "/")))
        .filter_map(|node| Some((node.clone(), arrays::place(machine.roots(), &node)?)))
        .collect();
    places.sort_by_key(|(_, place)| place.start);
    let whole = Place { disk: disk.name.clone(), start: 0, length: device.size_bytes() };
    places.push((disk.name.clone(), whole));
    let (mut parts, mut offsets) = (Vec::new(), BTreeSet::new());
    for (node, place) in places {
        for found in superblock::find(&device, place.start, place.length)? {
            let Some(uuid) = found.uuid.filter(|_| found.is_in_place) else { continue };
            if offsets.insert(found.offset) {
                parts.push(Part {
                    node: node.clone(),
                    disk: disk.name.clone(),
                    uuid,
                    name: found.name,
                    is_reshaping: found.is_reshaping,
                    is_held: held.contains(&node),
                });
            }
        }
    }
    Ok(parts)
}
