//! Disks that are reached by several paths, each of which has a name of its own.

use std::sync::Arc;

use serde_json::json;
use tacit_model::{PlanVerdict, ProofResult};

use super::{Bench, MIB, run};
use crate::drives::DriveKind;
use crate::drives::simulated::{Content, ScsiTraits, SimulatedClock, SimulatedScsi};

fn drive(clock: &SimulatedClock) -> Arc<SimulatedScsi> {
    let content = Content::new(16 * MIB, 512);
    content.fill(content.whole(), 0x31);
    Arc::new(SimulatedScsi::new(content, clock, ScsiTraits::default()))
}

/// Disks with the same world wide name, serial number and size.
fn bench(clock: &SimulatedClock, drives: &[(&str, &Arc<SimulatedScsi>)]) -> Bench {
    let mut bench = Bench::new(clock);
    for (name, drive) in drives {
        bench.put(name, DriveKind::Scsi, (*drive).clone()).lane = "0x5000c50012345678".to_owned();
        let slot = bench.slots.get_mut(*name).unwrap();
        slot.disk.wwn = Some("0x5000c50012345678".to_owned());
        slot.disk.serial = Some("Z1".to_owned());
    }
    bench
}

fn sanitizes(drive: &SimulatedScsi) -> usize {
    drive.commands().iter().filter(|code| **code == 0x48).count()
}

#[test]
fn a_disk_of_two_paths_is_erased_once_and_proven_by_both() {
    let clock = SimulatedClock::new();
    let (one, two) = (drive(&clock), drive(&clock));
    assert!(run(bench(&clock, &[("/dev/sda", &one)]), json!({}), json!({})).outcome.is_ok());
    let done = run(bench(&clock, &[("/dev/sda", &two), ("/dev/sdb", &two)]), json!({}), json!({}));
    assert!(done.plans[1].reasons[0].starts_with("the same device as /dev/sda"), "{:?}", done.plans[1]);
    let proofs = done.outcome.unwrap();
    assert_eq!(sanitizes(&two), sanitizes(&one));
    let names: Vec<&str> = proofs.iter().map(|proof| proof.device.as_str()).collect();
    assert_eq!(names, ["/dev/sda", "/dev/sdb"]);
    assert!(proofs.iter().all(|proof| proof.result == ProofResult::Proven));
    assert_eq!(
        (proofs[0].standard, proofs[0].finished.as_ref()),
        (proofs[1].standard, proofs[1].finished.as_ref())
    );
    assert_eq!(proofs[1].actions[0], "the same device as /dev/sda, erased by that name");
    assert!(proofs[0].verification.iter().any(|line| line.starts_with("/dev/sdb showed the same marks")));
}

/// Bridges and cheap controllers give all their disks the same names.
#[test]
fn two_disks_that_only_claim_to_be_one_are_both_erased() {
    let clock = SimulatedClock::new();
    let (one, two) = (drive(&clock), drive(&clock));
    let done = run(bench(&clock, &[("/dev/sda", &one), ("/dev/sdb", &two)]), json!({}), json!({}));
    let proofs = done.outcome.unwrap();
    assert!(sanitizes(&one) > 0 && sanitizes(&one) == sanitizes(&two));
    for proof in &proofs {
        assert_eq!(proof.result, ProofResult::Proven);
        assert!(!proof.actions.iter().any(|line| line.contains("the same device")), "{:?}", proof.actions);
        assert!(!proof.verification.iter().any(|line| line.contains("showed the same marks")));
    }
}

#[test]
fn what_keeps_one_path_out_keeps_the_disk_out() {
    let clock = SimulatedClock::new();
    let shared = drive(&clock);
    for (skip, verdict) in [(false, PlanVerdict::Refuse), (true, PlanVerdict::Skip)] {
        let mut bench = bench(&clock, &[("/dev/sda", &shared), ("/dev/sdb", &shared)]);
        let findings = &mut bench.slots.get_mut("/dev/sdb").unwrap().findings;
        findings.skip_listed = skip;
        if !skip {
            findings.held.push("/dev/sdb1 is mounted at /srv".to_owned());
        }
        let done = run(bench, json!({}), json!({}));
        assert_eq!((done.plans[0].verdict, done.plans[1].verdict), (verdict, verdict));
        assert!(done.plans[0].reasons[0].starts_with("the same device as /dev/sdb: "), "{:?}", done.plans[0]);
        assert!(done.plans[0].methods.is_empty());
        assert_eq!(done.outcome.is_ok(), skip);
        assert_eq!((shared.content().writes(), sanitizes(&shared)), (0, 0));
    }
}

#[test]
fn a_path_that_is_used_since_the_plan_stops_the_other() {
    let clock = SimulatedClock::new();
    let shared = drive(&clock);
    let mut bench = bench(&clock, &[("/dev/sda", &shared), ("/dev/sdb", &shared)]);
    bench.hold_later("/dev/sdb", "/dev/sdb1 is mounted at /srv");
    let error = run(bench, json!({}), json!({})).outcome.unwrap_err();
    assert_eq!(error.done().count(), 0);
    assert_eq!((shared.content().writes(), sanitizes(&shared)), (0, 0), "{error}");
}
