//! The step `erase_devices_metadata` over all disks of a machine.

use std::error::Error as StdError;
use std::path::PathBuf;

use serde_json::{Value, json};
use tacit_blockdev::{Access, Device, Error};
use tacit_model::{BlockDevice, ProgressUnit, Proof};

use super::erase::{execute, skipped};
use super::guard::protected_content;
use super::plan::Plan;
use super::skip::SkipList;
use crate::machine::{Machine, read_flag};
use crate::managers::{DeviceFailure, StepContext, StepError, StepObserver, StepSpecification};

/// Label of the floppy image by which BMCs of old hand over parameters.
const PARAMETER_MEDIUM: &[u8; 11] = b"IR-VFD-DEV ";

pub(crate) const STEPS: &[StepSpecification] = &[StepSpecification {
    name: "erase_devices_metadata",
    interface: "deploy",
    clean: Some(99),
    deploy: Some(0),
    service: None,
    abortable: true,
    arguments: &[],
    run,
}];

fn run(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let proofs = erase_devices_metadata(machine, context.node, context.observer)?;
    Ok(json!({ "proofs": proofs }))
}

enum Decision {
    Skip(&'static str),
    Fail(String),
    Wipe(PathBuf, Box<Plan>),
}

/// Probes every disk, refuses as a whole when one holds a shared file system, then wipes disk after disk.
///
/// # Errors
///
/// [`StepError::Erase`] names every disk that failed, after all were tried.
fn erase_devices_metadata(
    machine: &Machine,
    node: &Value,
    observer: &dyn StepObserver,
) -> Result<Vec<Proof>, StepError> {
    let skip = SkipList::from_node(node).map_err(|error| StepError::InvalidParameter {
        parameter: "properties.skip_block_devices".to_owned(),
        problem: error.to_string(),
    })?;
    let guarded = !["driver_internal_info", "driver_info"]
        .iter()
        .any(|place| node[*place]["wipe_special_filesystems"] == Value::Bool(true));

    let mut disks = machine.disks();
    // An array or a multipath device before the disks that it is made of.
    disks.sort_by_key(|disk| !(disk.name.starts_with("/dev/md") || disk.name.starts_with("/dev/dm-")));
    let mut decisions = Vec::with_capacity(disks.len());
    for disk in disks {
        let decision = decide(machine, &disk, &skip);
        if let (true, Decision::Wipe(_, plan)) = (guarded, &decision)
            && let Some(content) = protected_content(plan)
        {
            return Err(StepError::Protected { device: disk.name, content });
        }
        decisions.push((disk, decision));
    }

    let total = decisions.len();
    let (mut proofs, mut failures) = (Vec::new(), Vec::new());
    let mut touched = false;
    for (done, (disk, decision)) in decisions.into_iter().enumerate() {
        if observer.cancelled() {
            return Err(StepError::Cancelled { done, total });
        }
        match decision {
            Decision::Skip(reason) => proofs.push(skipped(&disk, reason)),
            Decision::Fail(reason) => failures.push(DeviceFailure { device: disk.name, reason }),
            Decision::Wipe(path, plan) => {
                let report =
                    |done, total| observer.progress("wipe", &disk.name, done, total, ProgressUnit::Regions);
                report(0, plan.regions.len() as u64);
                touched = true;
                match execute(&path, &disk, &plan, report) {
                    Ok(proof) => proofs.push(proof),
                    Err(error) => failures.push(DeviceFailure { device: disk.name, reason: chain(&error) }),
                }
            }
        }
    }
    if failures.is_empty() {
        return Ok(proofs);
    }
    Err(StepError::Erase { failures, done: proofs.into_iter().map(|proof| proof.device).collect(), touched })
}

fn decide(machine: &Machine, disk: &BlockDevice, skip: &SkipList) -> Decision {
    if skip.matches(disk) {
        return Decision::Skip("named by skip_block_devices");
    }
    let kernel_name = disk.name.trim_start_matches("/dev/").replace('/', "!");
    if read_flag(&machine.roots().sys.join("block").join(kernel_name).join("ro")) {
        return Decision::Skip("read-only");
    }
    let path = machine.device_node(&disk.name);
    match inspect(&path, skip) {
        Ok(Ok(plan)) => Decision::Wipe(path, Box::new(plan)),
        Ok(Err(reason)) => Decision::Skip(reason),
        Err(error) => Decision::Fail(chain(&error)),
    }
}

/// The plan for a disk, or why it is to be left alone.
fn inspect(path: &std::path::Path, skip: &SkipList) -> Result<Result<Plan, &'static str>, Error> {
    let device = Device::open(path, Access::Read)?;
    if device.is_block_device() && device.is_read_only() {
        return Ok(Err("read-only"));
    }
    if device.size_bytes() == 0 {
        return Ok(Err("empty"));
    }
    if is_parameter_medium(&device)? {
        return Ok(Err("virtual medium with parameters"));
    }
    let plan = Plan::make(&device)?;
    if skip.has_volumes() && holds_kept_volume(&device, &plan, skip)? {
        return Ok(Err("member of an array named by skip_block_devices"));
    }
    Ok(Ok(plan))
}

/// Whether the FAT label in the boot sector is that of a parameter medium.
fn is_parameter_medium(device: &Device) -> Result<bool, Error> {
    let mut sector = [0; 512];
    if device.size_bytes() < 512 {
        return Ok(false);
    }
    device.read_at(0, &mut sector)?;
    Ok([0x2b, 0x47].iter().any(|&at| sector[at..at + 11].eq_ignore_ascii_case(PARAMETER_MEDIUM)))
}

/// Looks into version 1 md superblocks, which carry the array's name at offset 32 (`linux/raid/md_p.h`).
fn holds_kept_volume(device: &Device, plan: &Plan, skip: &SkipList) -> Result<bool, Error> {
    for hit in plan.regions.iter().flat_map(|(_, found)| found).filter(|hit| hit.name == "md RAID") {
        let mut name = [0; 32];
        let Some(at) = hit.offset.checked_add(32).filter(|at| at + 32 <= device.size_bytes()) else {
            continue;
        };
        device.read_at(at, &mut name)?;
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        if std::str::from_utf8(name).is_ok_and(|name| !name.is_empty() && skip.keeps_volume(name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// An error with all of its causes.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
