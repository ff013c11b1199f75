//! The step `verify_devices`: a gate that only drives pass which are fit for use. It writes nothing.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tacit_blockdev::{Access, Device, Drive, Error};
use tacit_model::BlockDevice;

use super::limits::Limits;
use crate::ask::{SILENCE, ask_all};
use crate::chain::chain;
use crate::drives::nvme::SmartLog;
use crate::drives::{DriveHealth, DriveKind, identify};
use crate::erase::list;
use crate::machine::Machine;
use crate::managers::{StepContext, StepError};
use crate::wipe::SkipList;

/// How a step reaches a disk.
pub(super) type Open = Arc<dyn Fn(&BlockDevice) -> Result<Box<dyn Drive>, Error> + Send + Sync>;

pub(super) fn run(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let limits = Limits::from_args(context.args)?;
    // A gate that does not see the worst drives lets them through.
    let (disks, dead): (Vec<_>, Vec<_>) =
        disks(machine, context)?.into_iter().partition(|disk| disk.size > 0);
    let dead = dead
        .iter()
        .map(|disk| format!("{}: it reports no size, as drives do that have failed", disk.name))
        .collect();
    verify(&disks, dead, limits, opener(machine), SILENCE, &|| context.observer.cancelled())
}

/// The disks of the machine that the node does not keep out, failed ones among them.
pub(super) fn disks(machine: &Machine, context: &StepContext<'_>) -> Result<Vec<BlockDevice>, StepError> {
    let skip = skip_list(context)?;
    Ok(list(machine, context.observer)?.into_iter().filter(|disk| !skip.matches(disk)).collect())
}

pub(super) fn skip_list(context: &StepContext<'_>) -> Result<SkipList, StepError> {
    SkipList::from_node(context.node).map_err(|error| StepError::InvalidParameter {
        parameter: "properties.skip_block_devices".to_owned(),
        problem: error.to_string(),
    })
}

pub(super) fn opener(machine: &Machine) -> Open {
    let machine = machine.clone();
    Arc::new(move |disk| Ok(Box::new(Device::open(&machine.device_node(&disk.name), Access::Read)?)))
}

/// What is known of one disk.
struct Finding {
    failing: Vec<String>,
    /// Whether it told anything.
    known: bool,
    report: Value,
}

impl Finding {
    /// Of a disk that cannot be asked, and why: it is not fit for use.
    fn none(problem: String) -> Self {
        Self { failing: vec![problem], known: true, report: Value::Null }
    }
}

/// Asks every disk, each for so long; the step fails when one does, and names all that do, `dead` ones first.
///
/// # Errors
///
/// [`StepError::Failed`], [`StepError::Cancelled`].
fn verify(
    disks: &[BlockDevice],
    dead: Vec<String>,
    limits: Limits,
    open: Open,
    silence: Duration,
    cancelled: &dyn Fn() -> bool,
) -> Result<Value, StepError> {
    let require_health = limits.require_health;
    let found = ask_all(disks, silence, cancelled, move |disk| examine(disk, &limits, &open))
        .ok_or(StepError::Cancelled { done: 0, total: disks.len() })?;
    let (mut reports, mut failures) = (Vec::new(), dead);
    for (disk, found) in disks.iter().zip(found) {
        let mut finding = found.unwrap_or_else(Finding::none);
        if !finding.known && require_health {
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

fn examine(disk: &BlockDevice, limits: &Limits, open: &Open) -> Finding {
    let drive = match open(disk) {
        Ok(drive) => drive,
        Err(error) => return Finding::none(chain(&error)),
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
        verify(&disks, Vec::new(), limits, Arc::new(play), SILENCE, &|| false)
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
    fn a_drive_that_hangs_fails_and_keeps_nobody_waiting() {
        let gate = Arc::new(std::sync::Mutex::new(()));
        let closed = gate.lock().unwrap();
        let hangs = gate.clone();
        let open: Open = Arc::new(move |disk| {
            if disk.name == "/dev/nvme0n1" {
                drop(hangs.lock());
            }
            play(disk)
        });
        let gate = |silence, cancelled: &dyn Fn() -> bool| {
            let limits = Limits::from_args(json!({}).as_object().unwrap()).unwrap();
            let disks = [disk("/dev/nvme0n1"), disk("/dev/nvme1n1")];
            verify(&disks, Vec::new(), limits, open.clone(), silence, cancelled).unwrap_err()
        };
        let error = gate(Duration::from_secs(1), &|| false);
        let text = error.details();
        assert!(text.starts_with("/dev/nvme0n1: did not answer within 1 s; /dev/nvme1n1: "), "{text}");
        let stopped = gate(SILENCE, &|| true);
        assert!(matches!(stopped, StepError::Cancelled { done: 0, total: 2 }), "{stopped:?}");
        assert!(!stopped.disk_touched());
        drop(closed);
    }

    #[test]
    fn drives_that_are_dead_or_cannot_be_listed_are_not_passed_over() {
        use crate::machine::Roots;
        use crate::managers::{GenericHardwareManager, HardwareManager as _, StepObserver};

        struct Silent;

        impl StepObserver for Silent {
            fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: tacit_model::ProgressUnit) {}

            fn cancelled(&self) -> bool {
                false
            }
        }

        let top = tempfile::tempdir().unwrap();
        let roots = Roots::below(top.path());
        let manager = GenericHardwareManager::new(Machine::new(roots.clone(), None));
        let args = serde_json::Map::new();
        let gate = |node: &Value| {
            let context = StepContext { node, ports: &json!([]), args: &args, observer: &Silent };
            manager.run_step("verify_devices", &context)
        };
        let error = gate(&json!({})).unwrap_err();
        assert!(error.details().contains("cannot be listed"), "{error}");
        let disk = roots.sys.join("block/nvme0n1");
        std::fs::create_dir_all(&disk).unwrap();
        for (name, value) in [("size", "0"), ("removable", "0"), ("ro", "0")] {
            std::fs::write(disk.join(name), value).unwrap();
        }
        let error = gate(&json!({})).unwrap_err();
        assert!(error.details().contains("/dev/nvme0n1: it reports no size"), "{error}");
        let skipped = json!({"properties": {"skip_block_devices": [{"name": "/dev/nvme0n1"}]}});
        gate(&skipped).unwrap();
    }
}
