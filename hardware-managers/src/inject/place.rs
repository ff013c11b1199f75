//! Which file system a file goes into.

use std::path::{Path, PathBuf};

use tacit_model::BlockDevice;

use super::mount::{Intent, Mounted};
use super::request::{FileRequest, Partition};
use crate::machine::{Machine, names_in, read_number};
use crate::managers::StepContext;
use crate::wipe::{SkipList, remaining};

/// The device with the file system for a request. Only disks that the machine shows and that the skip list leaves,
/// and their partitions, are taken. Where a request names no device, its disk is the one that the image was written to in
/// this boot, else the one that an image would be written to.
///
/// # Errors
///
/// Why there is none, in words.
pub(super) fn find(
    machine: &Machine,
    context: &StepContext<'_>,
    request: &FileRequest,
) -> Result<PathBuf, String> {
    let skip = SkipList::from_node(context.node).map_err(|error| format!("skip_block_devices: {error}"))?;
    let disks = remaining(machine, &skip);
    if let Some(Partition::Device(wanted)) = &request.partition {
        return by_path(machine, &disks, wanted);
    }
    let root = match context.observer.deployed_disk() {
        Some(device) if disks.iter().any(|disk| disk.name == device) => device,
        Some(device) => {
            return Err(format!(
                "{device}, which the image was written to, is not there, or the skip list names it"
            ));
        }
        None => machine.root_device(context.node).map_err(|error| crate::chain::chain(&error))?.name,
    };
    let partitions = partitions(machine, &root);
    if let Some(Partition::Number(number)) = &request.partition {
        let found = partitions.iter().find(|(there, _)| there == number).map(|(_, node)| node.clone());
        return found.ok_or_else(|| format!("{root} has no partition {number}"));
    }
    let first = request.path.first().expect("a path has a name");
    let mut reasons = Vec::new();
    for (number, path) in &partitions {
        match Mounted::new(path, Intent::Read) {
            Ok(mounted) if mounted.tree().has_folder(first) => return Ok(path.clone()),
            Ok(_) => reasons.push(format!("{number}: no folder /{first}")),
            Err(error) => reasons.push(format!("{number}: {error}")),
        }
    }
    Err(format!("no partition of {root} has a folder /{first} ({})", reasons.join("; ")))
}

fn by_path(machine: &Machine, disks: &[BlockDevice], wanted: &str) -> Result<PathBuf, String> {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let node = real(&machine.device_node(wanted));
    let known = disks.iter().any(|disk| {
        real(&machine.device_node(&disk.name)) == node
            || partitions(machine, &disk.name).iter().any(|(_, path)| real(path) == node)
    });
    if known {
        Ok(node)
    } else {
        Err(format!("{wanted} is neither a disk of this machine nor a partition of one"))
    }
}

/// Number and node of each partition that the kernel shows, by number.
fn partitions(machine: &Machine, disk: &str) -> Vec<(u32, PathBuf)> {
    let kernel_name = disk.trim_start_matches("/dev/").replace('/', "!");
    let folder = machine.roots().sys.join("block").join(kernel_name);
    let mut found: Vec<(u32, PathBuf)> = names_in(&folder)
        .into_iter()
        .filter_map(|name| {
            let number = read_number(&folder.join(&name).join("partition"))?;
            let node = machine.device_node(format!("/dev/{}", name.replace('!', "/")));
            Some((u32::try_from(number).ok()?, node))
        })
        .collect();
    found.sort_unstable();
    found
}
