use std::sync::Arc;

use serde_json::json;
use tacit_blockdev::Drive as _;
use tacit_model::{EraseStandard, PlanVerdict, ProofResult};

use super::{Bench, MIB, Run, Watcher, methods, run, run_observed};
use crate::drives::DriveKind;
use crate::drives::simulated::{Content, NvmeFault, NvmeIdentity, SimulatedClock, SimulatedNvme};
use crate::erase::canary::Canaries;
use crate::erase::control::Control;
use crate::erase::noise::Noise;
use crate::erase::source::Note;
use crate::managers::StepError;

const NAME: &str = "/dev/nvme0n1";

fn drive(clock: &SimulatedClock) -> Arc<SimulatedNvme> {
    let content = Content::new(64 * MIB, 4096);
    let secret: Vec<u8> = (0..4096u32).map(|at| (at * 7 % 251) as u8).collect();
    for at in 0..16 {
        content.write_at(at * 4 * MIB, &secret).unwrap();
    }
    Arc::new(SimulatedNvme::new(content, NvmeIdentity::default(), clock.clone()))
}

fn bench(clock: &SimulatedClock, drive: &Arc<SimulatedNvme>) -> Bench {
    let mut bench = Bench::new(clock);
    bench.put(NAME, DriveKind::Nvme, drive.clone());
    bench
}

fn failure(run: &Run) -> &str {
    match run.outcome.as_ref().unwrap_err() {
        StepError::Erase { failures, .. } => &failures[0].reason,
        other => panic!("{other}"),
    }
}

#[test]
fn the_quickest_purge_comes_first_and_is_proven() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    let run = run(bench(&clock, &drive), json!({}), json!({}));
    assert_eq!(
        methods(&run.plans[0]),
        [
            "nvme-sanitize-crypto",
            "nvme-sanitize-block",
            "nvme-format-crypto",
            "nvme-sanitize-overwrite",
            "nvme-format-user"
        ]
    );
    assert_eq!(run.plans[0].methods[0].estimated_seconds, Some(2));
    let proofs = run.outcome.unwrap();
    let proof = &proofs[0];
    assert_eq!((proof.result, proof.standard), (ProofResult::Proven, EraseStandard::Purge));
    assert_eq!(proof.method, "nvme-sanitize-crypto");
    assert_eq!(proof.serial.as_deref(), Some("SIM0001"));
    assert!(proof.firmware.is_some() && proof.started.is_some() && proof.finished.is_some());
    assert!(proof.verification[0].contains("15 places compared"), "{:?}", proof.verification);
    assert_eq!(drive.sanitizes_started(), 1);
}

#[test]
fn a_drive_that_lies_is_found_out_and_nothing_is_proven() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    drive.content.set_keeps(true);
    let run = run(bench(&clock, &drive), json!({}), json!({}));
    let reason = failure(&run);
    for method in ["nvme-sanitize-crypto", "nvme-sanitize-block", "nvme-format-crypto", "nvme-format-user"] {
        assert!(reason.contains(&format!("{method}: what was written before is still readable")), "{reason}");
    }
    assert!(run.outcome.unwrap_err().disk_touched());
}

#[test]
fn overwriting_follows_a_lie_only_when_the_policy_says_so() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    drive.content.set_keeps(true);
    let knobs = json!({"agent_continue_if_secure_erase_failed": true});
    let run = run(bench(&clock, &drive), knobs.clone(), json!({}));
    let proofs = run.outcome.unwrap();
    assert_eq!((proofs[0].method.as_str(), proofs[0].standard), ("overwrite", EraseStandard::Clear));
    assert!(proofs[0].actions.iter().any(|line| line.starts_with("no success: nvme-sanitize-crypto")));
    let mut end = [1; 512];
    drive.content.read_at(64 * MIB - 512, &mut end).unwrap();
    assert_eq!(end, [0; 512]);

    // Not where more was asked for than it reaches.
    let run = super::run(bench(&clock, &drive), knobs, json!({"require": "purge"}));
    assert!(!methods(&run.plans[0]).contains(&"overwrite"));
    assert!(run.outcome.is_err());
}

#[test]
fn a_sanitize_that_fails_half_way_is_followed_by_the_next_method() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    drive.set_fault(NvmeFault::SanitizeFails(0x8000));
    let run = run(bench(&clock, &drive), json!({}), json!({}));
    match &run.outcome {
        Ok(proofs) => {
            assert_ne!(proofs[0].method, "nvme-sanitize-crypto");
            assert!(
                proofs[0].actions.iter().any(|line| line.starts_with("no success: nvme-sanitize-crypto"))
            );
        }
        Err(_) => assert!(failure(&run).contains("nvme-sanitize-crypto"), "{}", failure(&run)),
    }
}

#[test]
fn a_drive_that_hangs_is_given_up_and_left_alone() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    drive.set_fault(NvmeFault::SanitizeHangs(0x4000));
    let run = run(bench(&clock, &drive), json!({"agent_continue_if_secure_erase_failed": true}), json!({}));
    let reason = failure(&run);
    assert!(reason.starts_with("nvme-sanitize-crypto: "), "{reason}");
    // Nothing else may be tried on a drive that is still at work.
    assert!(!reason.contains("overwrite") && !reason.contains("nvme-sanitize-block"), "{reason}");
    assert_eq!(drive.sanitizes_started(), 1);
}

#[test]
fn a_drive_that_vanishes_is_not_erased() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    drive.set_fault(NvmeFault::Vanishes(0x4000));
    let run = run(bench(&clock, &drive), json!({"agent_continue_if_secure_erase_failed": true}), json!({}));
    assert!(failure(&run).contains("nvme-sanitize-crypto"), "{}", failure(&run));
}

#[test]
fn a_sanitize_of_this_agent_s_earlier_life_is_joined_and_proven() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    let noise = Noise(99);
    Canaries::place(drive.as_ref(), noise, &Control::new(|_| {})).unwrap();
    drive.start_sanitize(2);
    let bench = bench(&clock, &drive);
    let notes = bench.notes();
    let note = Note {
        method: "nvme-sanitize-block".to_owned(),
        noise: noise.0,
        size: 64 * MIB,
        started: "2026-01-01T00:00:00Z".to_owned(),
    };
    bench.leave_note(NAME, note);
    let run = run(bench, json!({}), json!({}));
    assert!(run.plans[0].reasons.iter().any(|reason| reason.contains("under way")), "{:?}", run.plans[0]);
    let proofs = run.outcome.unwrap();
    assert_eq!((proofs[0].method.as_str(), proofs[0].result), ("nvme-sanitize-block", ProofResult::Proven));
    assert_eq!(proofs[0].started.as_deref(), Some("2026-01-01T00:00:00Z"));
    assert_eq!(drive.sanitizes_started(), 1);
    assert!(notes.lock().unwrap().is_empty());
}

#[test]
fn a_sanitize_of_somebody_else_proves_nothing() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    drive.start_sanitize(2);
    let run = run(bench(&clock, &drive), json!({}), json!({}));
    assert_eq!(run.outcome.unwrap()[0].method, "nvme-sanitize-crypto");
    assert_eq!(drive.sanitizes_started(), 2);
}

#[test]
fn planning_writes_nothing_and_starts_nothing() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    let before = drive.content.writes();
    let mut bench = bench(&clock, &drive);
    bench.slots.get_mut(NAME).unwrap().findings.held.push("/dev/nvme0n1p1 is mounted at /".to_owned());
    let run = run(bench, json!({}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Refuse);
    assert!(failure(&run).contains("mounted at /"));
    assert_eq!((drive.content.writes(), drive.sanitizes_started()), (before, 0));
    // Get Log Page, Identify, Get Features, Security Receive: what asks and changes nothing.
    let asking = [0x02, 0x06, 0x0a, 0x82];
    assert!(drive.opcodes().iter().all(|opcode| asking.contains(opcode)), "{:x?}", drive.opcodes());
    assert!(!run.outcome.unwrap_err().disk_touched());
}

#[test]
fn what_would_empty_a_neighbour_is_not_used() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    let mut bench = bench(&clock, &drive);
    bench.slots.get_mut(NAME).unwrap().findings.siblings.push("/dev/nvme0n2".to_owned());
    let run = run(bench, json!({}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Refuse);
    assert!(run.plans[0].reasons.iter().any(|reason| reason.contains("would also empty /dev/nvme0n2")));
    assert_eq!(drive.sanitizes_started(), 0);
}

#[test]
fn ironic_s_switch_turns_the_drive_s_own_commands_off() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    let run = run(bench(&clock, &drive), json!({"agent_enable_nvme_secure_erase": false}), json!({}));
    assert_eq!(methods(&run.plans[0]), ["overwrite"]);
    assert_eq!(run.outcome.unwrap()[0].standard, EraseStandard::Clear);
}

#[test]
fn a_stop_before_the_drive_begins_leaves_it_alone() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    let watcher = Watcher { stop_at: Some(""), ..Watcher::default() };
    let run = run_observed(bench(&clock, &drive), json!({}), json!({"method": "overwrite"}), &watcher);
    let error = run.outcome.unwrap_err();
    assert!(matches!(error, StepError::Halted { .. }), "{error}");
}

#[test]
fn a_drive_that_does_not_answer_for_a_while_has_not_ended_what_it_does() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    let noise = Noise(7);
    Canaries::place(drive.as_ref(), noise, &Control::new(|_| {})).unwrap();
    // It is reset after some seconds and silent for a minute.
    drive.set_fault(NvmeFault::Resets(0x2000));
    drive.start_sanitize(2);
    let bench = bench(&clock, &drive);
    let note = Note {
        method: "nvme-sanitize-block".to_owned(),
        noise: noise.0,
        size: 64 * MIB,
        started: "2026-01-01T00:00:00Z".to_owned(),
    };
    bench.leave_note(NAME, note);
    let proofs = run(bench, json!({}), json!({})).outcome.unwrap();
    assert_eq!((proofs[0].method.as_str(), drive.sanitizes_started()), ("nvme-sanitize-block", 1));
    assert_eq!(proofs[0].started.as_deref(), Some("2026-01-01T00:00:00Z"));
}

#[test]
fn a_drive_in_its_failure_mode_is_made_good_and_then_proven() {
    let clock = SimulatedClock::new();
    let drive = drive(&clock);
    drive.set_fault(NvmeFault::SanitizeFails(0x4000));
    drive.start_sanitize(2);
    clock.advance(std::time::Duration::from_secs(60));
    drive.read_at(0, &mut [0; 512]).unwrap_err();
    drive.set_fault(NvmeFault::None);
    let proofs = run(bench(&clock, &drive), json!({}), json!({})).outcome.unwrap();
    let proof = &proofs[0];
    assert_eq!((proof.method.as_str(), proof.standard), ("nvme-sanitize-crypto", EraseStandard::Purge));
    assert!(
        proof.actions.iter().any(|line| line.contains("no marks could be written")),
        "{:?}",
        proof.actions
    );
    assert!(proof.verification[0].contains("15 places compared"), "{:?}", proof.verification);
    // Theirs, ours to open it, and ours with marks.
    assert_eq!(drive.sanitizes_started(), 3);
}

/// The last tenant may have left something in it, and the next one can attach it.
#[test]
fn a_namespace_that_is_detached_is_named_and_nothing_is_claimed_for_the_drive() {
    let clock = SimulatedClock::new();
    let bench = |drive: &Arc<SimulatedNvme>| bench(&clock, drive);
    let identity = NvmeIdentity { namespaces: vec![1, 2], optional_admin: 0x0e, ..NvmeIdentity::default() };
    let drive = Arc::new(SimulatedNvme::new(Content::new(64 * MIB, 4096), identity, clock.clone()));
    for (knobs, method) in
        [(json!({"agent_enable_nvme_secure_erase": false}), "overwrite"), (json!({}), "nvme-format-crypto")]
    {
        let run = run(bench(&drive), knobs, json!({}));
        let reasons = &run.plans[0].reasons;
        assert!(reasons[0].starts_with("nothing here erases namespaces 2 of the drive"), "{reasons:?}");
        let proofs = run.outcome.unwrap();
        assert_eq!((proofs[0].method.as_str(), proofs[0].standard), (method, EraseStandard::None));
        let line = "NOT erased: namespaces 2 of the drive, which this machine does not see";
        assert!(proofs[0].verification.iter().any(|known| known == line), "{:?}", proofs[0].verification);
    }
    assert_eq!(drive.sanitizes_started(), 0);
    let refused = run(bench(&drive), json!({}), json!({"require": "clear"}));
    assert_eq!(refused.plans[0].verdict, PlanVerdict::Refuse);
}
