//! What has come in the way between the plan and a device's turn, and what a command would reach besides.

use std::sync::Arc;

use serde_json::json;
use tacit_model::PlanVerdict;

use super::{Bench, MIB, PlainDrive, Watcher, free, run, run_observed};
use crate::drives::DriveKind;
use crate::drives::simulated::{
    AtaTraits, Content, NvmeIdentity, ScsiTraits, SimulatedAta, SimulatedClock, SimulatedNvme, SimulatedScsi,
};
use crate::erase::findings::{Companion, Findings};
use crate::managers::StepError;

const FIRST: &str = "/dev/nvme0n1";
const SECOND: &str = "/dev/nvme0n2";

fn companion(name: &str, namespace: u32) -> Companion {
    Companion { name: name.to_owned(), namespace: Some(namespace) }
}

/// A drive whose first namespace takes commands; the second one is content only.
fn two_namespaces(clock: &SimulatedClock, namespaces: Vec<u32>) -> (Bench, Arc<SimulatedNvme>, Arc<Content>) {
    // Formats reach all namespaces, too.
    let identity = NvmeIdentity { namespaces, format: 7, ..NvmeIdentity::default() };
    let drive = Arc::new(SimulatedNvme::new(Content::new(64 * MIB, 4096), identity, clock.clone()));
    let other = Arc::new(Content::new(4 * MIB, 4096));
    let mut bench = Bench::new(clock);
    let found = bench.put(FIRST, DriveKind::Nvme, drive.clone());
    (found.companions, found.lane) = (vec![companion(SECOND, 2)], "nqn".to_owned());
    let found = bench.plain(SECOND, &other);
    (found.companions, found.lane) = (vec![companion(FIRST, 1)], "nqn".to_owned());
    (bench, drive, other)
}

#[test]
fn a_namespace_that_is_refused_is_not_emptied_by_its_neighbour() {
    let clock = SimulatedClock::new();
    let (mut bench, drive, other) = two_namespaces(&clock, vec![1, 2]);
    bench.slots.get_mut(SECOND).unwrap().findings.held.push("/dev/nvme0n2 is mounted at /srv".to_owned());
    let run = run(bench, json!({}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Refuse);
    assert!(run.plans[0].reasons.iter().any(|reason| reason.contains("would also empty /dev/nvme0n2")));
    assert!(run.outcome.is_err());
    assert_eq!((drive.sanitizes_started(), drive.content.writes(), other.writes()), (0, 0, 0));
}

#[test]
fn a_neighbour_that_was_mounted_since_the_plan_stops_what_would_empty_it() {
    let clock = SimulatedClock::new();
    let (mut bench, drive, other) = two_namespaces(&clock, vec![1, 2]);
    bench.hold_later(SECOND, "/dev/nvme0n2 is mounted at /srv");
    let run = run(bench, json!({}), json!({}));
    assert!(run.plans.iter().all(|plan| plan.verdict == PlanVerdict::Erase));
    let error = run.outcome.unwrap_err();
    assert_eq!(error.done().count(), 0);
    assert_eq!((drive.sanitizes_started(), other.writes()), (0, 0), "{error}");
}

#[test]
fn a_neighbour_that_is_shared_since_the_plan_stops_what_would_empty_it() {
    let clock = SimulatedClock::new();
    let (mut bench, drive, other) = two_namespaces(&clock, vec![1, 2]);
    // Nothing holds it, so that it can be opened for nobody else.
    let shared = Findings { shared: Some("VMFS (disk, offset 0)".to_owned()), ..free(4 * MIB) };
    bench.slots.get_mut(SECOND).unwrap().later = Some(shared);
    let error = run(bench, json!({}), json!({})).outcome.unwrap_err();
    assert!(error.details().contains("not begun: /dev/nvme0n2: holds VMFS"), "{}", error.details());
    assert_eq!((drive.sanitizes_started(), other.writes()), (0, 0), "{error}");
}

#[test]
fn a_namespace_that_this_machine_does_not_see_is_not_emptied() {
    let clock = SimulatedClock::new();
    let (bench, drive, _) = two_namespaces(&clock, vec![1, 2, 9]);
    let error = run(bench, json!({}), json!({})).outcome.unwrap_err();
    assert!(error.details().contains("would erase namespaces 9 of the drive"), "{}", error.details());
    assert_eq!(drive.sanitizes_started(), 0);

    let (bench, drive, _) = two_namespaces(&clock, vec![1, 2]);
    assert!(run(bench, json!({}), json!({})).outcome.is_ok());
    assert_eq!(drive.sanitizes_started(), 1);
}

#[test]
fn guards_are_asked_again_before_the_first_byte() {
    let content = Arc::new(Content::new(4 * MIB, 512));
    let mut bench = Bench::new(&SimulatedClock::new());
    bench.plain("/dev/vda", &content);
    let shared = Findings { shared: Some("VMFS (disk, offset 0)".to_owned()), ..free(4 * MIB) };
    bench.slots.get_mut("/dev/vda").unwrap().later = Some(shared);
    let error = run(bench, json!({}), json!({})).outcome.unwrap_err();
    assert!(error.details().contains("not begun: holds VMFS"), "{}", error.details());
    assert_eq!(content.writes(), 0);
    assert!(!error.disk_touched());
}

#[test]
fn another_drive_under_the_same_name_proves_nothing() {
    let clock = SimulatedClock::new();
    let named = |serial: &str| {
        let traits = AtaTraits { serial: serial.to_owned(), ..AtaTraits::default() };
        Arc::new(SimulatedAta::new(Content::new(16 * MIB, 512), &clock, traits))
    };
    // It keeps everything; the one that has its name afterwards never held a mark.
    let drive = named("MINE");
    drive.content().set_keeps(true);
    let mut bench = Bench::new(&clock);
    bench.put("/dev/sda", DriveKind::Scsi, drive);
    bench.slots.get_mut("/dev/sda").unwrap().successor = Some(named("OTHER"));
    let error = run(bench, json!({}), json!({})).outcome.unwrap_err();
    assert!(error.details().contains("OTHER instead of MINE"), "{}", error.details());
}

#[test]
fn a_drive_that_says_nothing_is_not_taken_for_one_without_commands_and_reservations() {
    let clock = SimulatedClock::new();
    let content = Content::new(16 * MIB, 512);
    let drive = Arc::new(SimulatedScsi::new(content, &clock, ScsiTraits::default()));
    drive.content().set_gone(true);
    let mut bench = Bench::new(&clock);
    bench.put("/dev/sda", DriveKind::Scsi, drive);
    let run = run(bench, json!({"wipe_special_filesystems": true}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Refuse);
    assert!(run.plans[0].reasons[0].starts_with("does not answer: identity"), "{:?}", run.plans[0].reasons);
}

#[test]
fn a_refusal_to_tell_of_reservations_is_not_taken_for_none() {
    let clock = SimulatedClock::new();
    // As a path does whose group is in transition: each answer is one of no success, and none is silence.
    let traits = ScsiTraits { attentions: usize::MAX, ..ScsiTraits::default() };
    let drive = Arc::new(SimulatedScsi::new(Content::new(16 * MIB, 512), &clock, traits));
    let mut bench = Bench::new(&clock);
    bench.put("/dev/sda", DriveKind::Scsi, drive.clone());
    let run = run(bench, json!({}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Refuse, "{:?}", run.plans[0]);
    assert!(run.plans[0].reasons[0].starts_with("does not tell whether other"), "{:?}", run.plans[0].reasons);
    assert_eq!(drive.content().writes(), 0);
}

#[test]
fn what_takes_no_commands_at_all_is_nobody_elses() {
    let content = Arc::new(Content::new(4 * MIB, 512));
    let mut bench = Bench::new(&SimulatedClock::new());
    bench.put("/dev/sda", DriveKind::Scsi, Arc::new(PlainDrive(content)));
    let run = run(bench, json!({}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Erase, "{:?}", run.plans[0]);
}

#[test]
fn who_has_reserved_a_drive_is_asked_again_when_it_is_done_with_what_was_under_way() {
    let clock = SimulatedClock::new();
    let traits = ScsiTraits { keys: vec![7], ..ScsiTraits::default() };
    let drive = Arc::new(SimulatedScsi::new(Content::new(16 * MIB, 512), &clock, traits));
    drive.begin_sanitize();
    let mut bench = Bench::new(&clock);
    bench.put("/dev/sda", DriveKind::Scsi, drive.clone());
    let run = run(bench, json!({}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Erase);
    let error = run.outcome.unwrap_err();
    assert!(error.details().contains("not begun: 1 initiators have registered"), "{}", error.details());
    assert!(!drive.commands().contains(&0x48));
}

#[test]
fn reservations_on_a_namespace_refuse_as_those_on_a_disk_do() {
    let clock = SimulatedClock::new();
    let verdict = |keys| {
        let identity = NvmeIdentity { keys, ..NvmeIdentity::default() };
        let drive = Arc::new(SimulatedNvme::new(Content::new(64 * MIB, 4096), identity, clock.clone()));
        let mut bench = Bench::new(&clock);
        bench.put(FIRST, DriveKind::Nvme, drive);
        let run = run(bench, json!({"wipe_special_filesystems": true}), json!({}));
        (run.plans[0].verdict, run.plans[0].reasons.join("; "))
    };
    let (refused, reason) = verdict(Some(vec![0xabcd, 0xef]));
    assert_eq!(refused, PlanVerdict::Refuse);
    assert!(reason.contains("2 initiators have registered"), "{reason}");
    assert_eq!(verdict(Some(Vec::new())).0, PlanVerdict::Erase);
}

#[test]
fn a_stop_is_heard_while_devices_are_asked() {
    let mut bench = Bench::new(&SimulatedClock::new());
    let content = Arc::new(Content::new(4 * MIB, 512));
    bench.plain("/dev/vda", &content);
    // It stops whatever was reported: nothing was.
    let watcher = Watcher { stop_at_once: true, ..Watcher::default() };
    let run = run_observed(bench, json!({}), json!({}), &watcher);
    assert!(matches!(run.outcome, Err(StepError::Cancelled { done: 0, total: 1 })), "{:?}", run.outcome);
    assert_eq!(content.writes(), 0);
}
