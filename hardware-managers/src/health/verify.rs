//! The step `verify_devices`: a gate that only drives pass which are fit for use. It writes nothing.

use serde_json::{Value, json};
use tacit_blockdev::{Access, Device, Drive, Error};
use tacit_model::BlockDevice;

use super::limits::Limits;
use crate::chain::chain;
use crate::drives::nvme::SmartLog;
use crate::drives::{DriveHealth, DriveKind, identify};
use crate::machine::Machine;
use crate::managers::{StepContext, StepError};
use crate::wipe::SkipList;

/// How a step reaches a disk.
pub(super) type Open<'a> = &'a dyn Fn(&BlockDevice) -> Result<Box<dyn Drive>, Error>;

pub(super) fn run(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let limits = Limits::from_args(context.args)?;
    let disks = disks(machine, context)?;
    verify(&disks, &limits, &|disk| open(machine, disk), &|| context.observer.cancelled())
}

/// The disks of the machine that the node does not keep out.
pub(super) fn disks(machine: &Machine, context: &StepContext<'_>) -> Result<Vec<BlockDevice>, StepError> {
    let skip = SkipList::from_node(context.node).map_err(|error| StepError::InvalidParameter {
        parameter: "properties.skip_block_devices".to_owned(),
        problem: error.to_string(),
    })?;
    Ok(machine.disks().into_iter().filter(|disk| !skip.matches(disk)).collect())
}

pub(super) fn open(machine: &Machine, disk: &BlockDevice) -> Result<Box<dyn Drive>, Error> {
    Ok(Box::new(Device::open(&machine.device_node(&disk.name), Access::Read)?))
}

/// What is known of one disk.
struct Finding {
    failing: Vec<String>,
    /// Whether it told anything.
    known: bool,
    report: Value,
}

/// Asks every disk; the step fails when one does, and names all that do.
///
/// # Errors
///
/// [`StepError::Failed`], [`StepError::Cancelled`].
fn verify(
    disks: &[BlockDevice],
    limits: &Limits,
    open: Open<'_>,
    cancelled: &dyn Fn() -> bool,
) -> Result<Value, StepError> {
    let (mut reports, mut failures) = (Vec::new(), Vec::new());
    for (done, disk) in disks.iter().enumerate() {
        if cancelled() {
            return Err(StepError::Cancelled { done, total: disks.len() });
        }
        let mut finding = examine(disk, limits, open);
        if !finding.known && limits.require_health {
            finding.failing.push("it tells nothing of its health".to_owned());
        }
        if !finding.failing.is_empty() {
            failures.push(format!("{}: {}", disk.name, finding.failing.join(", ")));
        }
        reports.push(finding.report);
    }
    if failures.is_empty() {
        return Ok(json!({ "devices": reports }));
    }
    Err(StepError::Failed {
        class: "DeviceHealthError",
        code: 500,
        message: "Devices are not fit for use",
        details: failures.join("; "),
        retry: false,
        touched: false,
    })
}

fn examine(disk: &BlockDevice, limits: &Limits, open: Open<'_>) -> Finding {
    let drive = match open(disk) {
        Ok(drive) => drive,
        Err(error) => return Finding { failing: vec![chain(&error)], known: true, report: Value::Null },
    };
    // Among device-mapper devices only multipath ones are listed; the kernel hands SCSI commands to a path.
    let kind = if disk.name.starts_with("/dev/dm-") { DriveKind::Scsi } else { DriveKind::of(&disk.name) };
    let facts = identify(drive.as_ref(), kind);
    let mut failing = match &facts.health {
        DriveHealth::Failing(reason) if facts.kind != DriveKind::Nvme => vec![reason.clone()],
        _ => Vec::new(),
    };
    let mut log = Value::Null;
    if facts.kind == DriveKind::Nvme {
        // The drive's own worries are among what this finds.
        match SmartLog::read(drive.as_ref()) {
            Ok(told) => {
                failing.extend(limits.judge(&told));
                log = figures(&told);
            }
            Err(error) => failing.push(chain(&error)),
        }
    }
    let known = facts.health != DriveHealth::Unknown || !failing.is_empty();
    let health = match (failing.is_empty(), known) {
        (false, _) => "failing",
        (true, true) => "good",
        (true, false) => "unknown",
    };
    let mut report = json!({
        "device": disk.name,
        "serial": facts.serial.as_ref().or(disk.serial.as_ref()),
        "model": facts.model.as_ref().or(disk.model.as_ref()),
        "firmware": facts.firmware,
        "health": health,
        "unanswered": facts.unanswered,
    });
    if !log.is_null() {
        report["nvme"] = log;
    }
    Finding { failing, known, report }
}

fn figures(log: &SmartLog) -> Value {
    // JSON has no numbers of 128 bits.
    let counter = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
    json!({
        "critical_warning": log.critical_warning,
        "temperature_celsius": (log.temperature_kelvin > 0).then(|| i32::from(log.temperature_kelvin) - 273),
        "available_spare_percent": log.available_spare_percent,
        "spare_threshold_percent": log.spare_threshold_percent,
        "percentage_used": log.percentage_used,
        "power_on_hours": counter(log.power_on_hours),
        "unsafe_shutdowns": counter(log.unsafe_shutdowns),
        "media_errors": counter(log.media_errors),
        "error_log_entries": counter(log.error_log_entries),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drives::simulated::{Content, NvmeHealth, NvmeIdentity, SimulatedClock, SimulatedNvme};

    fn disk(name: &str) -> BlockDevice {
        BlockDevice { name: name.to_owned(), ..BlockDevice::default() }
    }

    /// Drives with the health that their names ask for; loop devices are files.
    fn play(disk: &BlockDevice) -> Result<Box<dyn Drive>, Error> {
        if disk.name.contains("loop") {
            let file = tempfile::NamedTempFile::new().unwrap();
            file.as_file().set_len(4096).unwrap();
            return Ok(Box::new(Device::open(file.path(), Access::Read)?));
        }
        let content = Content::new(1 << 30, 512);
        let drive = SimulatedNvme::new(content, NvmeIdentity::default(), SimulatedClock::new());
        let mut health = NvmeHealth::default();
        match disk.name.as_str() {
            "/dev/nvme1n1" => health.critical_warning = 4,
            "/dev/nvme2n1" => health.percentage_used = 101,
            "/dev/nvme3n1" => health.media_errors = 7,
            "/dev/nvme9n1" => drive.content.set_gone(true),
            _ => {}
        }
        drive.set_health(health);
        Ok(Box::new(drive))
    }

    fn gate(names: &[&str], args: Value) -> Result<Value, StepError> {
        let disks: Vec<_> = names.iter().map(|name| disk(name)).collect();
        let limits = Limits::from_args(args.as_object().unwrap()).unwrap();
        verify(&disks, &limits, &play, &|| false)
    }

    #[test]
    fn good_drives_pass_with_their_figures() {
        let result = gate(&["/dev/nvme0n1", "/dev/loop0"], json!({})).unwrap();
        let devices = result["devices"].as_array().unwrap();
        assert_eq!(devices[0]["health"], "good");
        assert_eq!(devices[0]["serial"], "SIM0001");
        assert_eq!(devices[0]["nvme"]["available_spare_percent"], 100);
        assert_eq!(devices[0]["nvme"]["temperature_celsius"], 37);
        assert_eq!(devices[1]["health"], "unknown");
    }

    #[test]
    fn every_failing_drive_is_named() {
        let names = ["/dev/nvme0n1", "/dev/nvme1n1", "/dev/nvme2n1", "/dev/nvme3n1", "/dev/nvme9n1"];
        let error = gate(&names, json!({})).unwrap_err();
        assert!(!error.disk_touched() && !error.retry());
        let text = error.details();
        assert!(!text.contains("nvme0n1"), "{text}");
        for (name, reason) in [
            ("nvme1n1", "reliability is degraded"),
            ("nvme2n1", "101 % of its life"),
            ("nvme3n1", "7 errors"),
            ("nvme9n1", "health log"),
        ] {
            assert!(text.contains(name) && text.contains(reason), "{text}");
        }
        let lenient = json!({ "media_errors_limit": 7, "percentage_used_limit": 150 });
        gate(&["/dev/nvme2n1", "/dev/nvme3n1"], lenient).unwrap();
    }

    #[test]
    fn drives_that_say_nothing_fail_only_where_an_answer_is_required() {
        gate(&["/dev/loop0"], json!({})).unwrap();
        let error = gate(&["/dev/loop0"], json!({ "require_health": true })).unwrap_err();
        assert!(error.details().contains("/dev/loop0"));
    }

    #[test]
    fn it_stops_between_drives() {
        let limits = Limits::from_args(json!({}).as_object().unwrap()).unwrap();
        let outcome = verify(&[disk("/dev/nvme0n1")], &limits, &play, &|| true);
        assert_eq!(outcome, Err(StepError::Cancelled { done: 0, total: 1 }));
    }
}
