//! Arrays of earlier boots: they are started before anything is decided about disks, as ironic-python-agent does when it
//! begins, and so that nothing is written by that.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::arrays;
use super::mdadm::{Md, Mdadm};
use super::parts::{Part, parts};
use crate::chain::chain;
use crate::machine::{Machine, read_text};
use crate::program;
use crate::wipe::{SkipList, forbidden, has_software_raid, listed};

/// Starts every array that does not run and all of whose members may be written to: none on a disk that the skip list or
/// an allow-list keeps out, or that other machines may use. Nothing is written before somebody writes to the array:
/// until then it is in the kernel's state `read-auto`. That some do not start is no error here; whoever would have had to
/// write to them finds that they do not run. Without mdadm there is nothing to be done, nor with a list that is not
/// understood, which the step will say.
pub(crate) fn start(machine: &Machine, node: &Value) {
    if machine.roots().is_real()
        && program::find("mdadm").is_some()
        && let Ok(skip) = SkipList::from_node(node)
    {
        start_with(machine, &skip, &Mdadm);
    }
}

/// [`start`], where the node's configuration has arrays: those of others are in the way there, and no place for a system.
pub(crate) fn start_configured(machine: &Machine, node: &Value) {
    if has_software_raid(node) {
        start(machine, node);
    }
}

pub(super) fn start_with(machine: &Machine, skip: &SkipList, md: &dyn Md) {
    let parts = parts(machine);
    let mut waiting: Vec<&str> = Vec::new();
    for part in &parts {
        if !waiting.contains(&part.uuid.as_str()) {
            waiting.push(&part.uuid);
        }
    }
    waiting.retain(|uuid| !parts.iter().any(|part| part.uuid == *uuid && part.is_held));
    if waiting.is_empty() {
        return;
    }
    let usable = usable(machine, skip);
    for uuid in waiting {
        let members: Vec<&Part> = parts.iter().filter(|part| part.uuid == uuid).collect();
        let obstacle = members.iter().find_map(|part| {
            if part.is_reshaping {
                return Some("it was stopped while it changed its shape".to_owned());
            }
            match usable.get(part.disk.as_str()) {
                None => Some(format!("{} is kept out", part.disk)),
                Some(forbidden) => forbidden(),
            }
        });
        let outcome = match obstacle {
            Some(obstacle) => Err(obstacle),
            None => assemble(machine, md, &members),
        };
        match outcome {
            Ok(device) => tracing::info!("array {uuid} is started as {device}"),
            Err(problem) => tracing::warn!("array {uuid} is not started: {problem}"),
        }
    }
}

/// What forbids to write to each disk that may be used, asked for when it is wanted.
fn usable<'a>(
    machine: &'a Machine,
    skip: &'a SkipList,
) -> BTreeMap<String, impl Fn() -> Option<String> + 'a> {
    let mine = machine.disks().into_iter().filter(|disk| !listed(machine, skip, disk));
    mine.map(|disk| {
        let name = disk.name.clone();
        (disk.name, move || forbidden(machine, skip, true, &name))
    })
    .collect()
}

/// The device that it was started as.
fn assemble(machine: &Machine, md: &dyn Md, members: &[&Part]) -> Result<String, String> {
    let device = arrays::free_device(machine);
    let node = machine.device_node(&device);
    let members: Vec<PathBuf> = members.iter().map(|part| machine.device_node(&part.node)).collect();
    let untouched = Untouched::begin(machine)?;
    let outcome = md.assemble(&node, &members);
    drop(untouched);
    outcome.map(|()| device.clone()).map_err(|error| {
        let mut problem = chain(&error);
        // Of an array that lacks too much the kernel keeps what there is.
        if arrays::read(machine, &device).is_some()
            && let Err(error) = md.stop(&node)
        {
            problem = format!("{problem}; {}", chain(&error));
        }
        problem
    })
}

/// While it lasts, arrays that are started write nothing to their members, and rebuild nothing, before the first write
/// to them (`start_ro`, `Documentation/admin-guide/md.rst` of the kernel).
struct Untouched {
    parameter: PathBuf,
    before: String,
}

impl Untouched {
    fn begin(machine: &Machine) -> Result<Self, String> {
        let parameter = machine.roots().sys.join("module/md_mod/parameters/start_ro");
        if !parameter.exists() && machine.roots().is_real() {
            // In another's ramdisk nobody may have needed it so far.
            program::run("modprobe", &["md_mod".into()], None, Duration::from_secs(60), &|| false)
                .map_err(|error| format!("the kernel has no md driver: {}", chain(&error)))?;
        }
        let before = read_text(&parameter).unwrap_or_else(|| "0".to_owned());
        match fs::write(&parameter, "1") {
            Ok(()) => Ok(Self { parameter, before }),
            Err(error) => Err(format!("{}: {error}", parameter.display())),
        }
    }
}

impl Drop for Untouched {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.parameter, &self.before) {
            tracing::warn!("{}: {error}", self.parameter.display());
        }
    }
}
