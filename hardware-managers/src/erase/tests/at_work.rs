//! Drives that were left at work, and what the next run makes of them.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::json;
use tacit_blockdev::Drive;
use tacit_model::ProofResult;

use super::{Bench, MIB, Watcher, run};
use crate::drives::DriveKind;
use crate::drives::simulated::{
    AtaTraits, Content, Misbehaviour, NvmeIdentity, ScsiTraits, SimulatedAta, SimulatedClock, SimulatedNvme,
    SimulatedScsi,
};
use crate::erase::control::Control;
use crate::erase::error::EraseError;
use crate::erase::execute::{begin, erase};
use crate::erase::policy::Policy;
use crate::erase::source::DriveSource;
use crate::erase::survey::probe;
use crate::managers::StepContext;

fn content() -> Content {
    let content = Content::new(16 * MIB, 512);
    content.fill(content.whole(), 0x31);
    content
}

fn bench(clock: &SimulatedClock, name: &str, kind: DriveKind, drive: Arc<dyn Drive>) -> Bench {
    let mut bench = Bench::new(clock);
    bench.put(name, kind, drive);
    bench
}

/// Loses its path, finds it again, and joins.
fn lose_and_find(
    drive: Arc<dyn Drive>,
    content: &Content,
    clock: &SimulatedClock,
    takes: Duration,
) -> String {
    let knobs = json!({"agent_continue_if_secure_erase_failed": true});
    let first = bench(clock, "/dev/sda", DriveKind::Scsi, drive.clone());
    let notes = first.notes();
    let details = run(first, knobs.clone(), json!({})).outcome.unwrap_err().details();
    assert!(details.contains("may still be at work"), "{details}");
    // Nothing else was tried on it.
    assert!(!details.contains("-block") && !details.contains("overwrite"), "{details}");
    let note = notes.lock().unwrap().remove("/dev/sda").expect("what was begun is noted");

    clock.advance(takes * 3 / 8);
    content.set_gone(false);
    let again = bench(clock, "/dev/sda", DriveKind::Scsi, drive);
    again.leave_note("/dev/sda", note);
    let proofs = run(again, knobs, json!({})).outcome.unwrap();
    assert_eq!(proofs[0].result, ProofResult::Proven);
    assert!(
        proofs[0].actions.iter().any(|line| line.contains("begun by an earlier run")),
        "{:?}",
        proofs[0].actions
    );
    proofs[0].method.clone()
}

#[test]
fn a_path_that_is_lost_leaves_the_drive_alone_and_the_next_run_proves_what_it_did() {
    let misbehaviour = Misbehaviour::LosesPath;
    let clock = SimulatedClock::new();
    let traits = ScsiTraits { misbehaviour, ..ScsiTraits::default() };
    let takes = traits.sanitize_takes;
    let drive = Arc::new(SimulatedScsi::new(content(), &clock, traits));
    assert_eq!(lose_and_find(drive.clone(), drive.content(), &clock, takes), "scsi-sanitize-crypto");

    let clock = SimulatedClock::new();
    let traits = AtaTraits { misbehaviour, ..AtaTraits::default() };
    let takes = traits.erase_takes;
    let drive = Arc::new(SimulatedAta::new(content(), &clock, traits));
    assert_eq!(lose_and_find(drive.clone(), drive.content(), &clock, takes), "ata-sanitize-crypto");
}

/// The thread must not keep the device until the drive is done: the run that waits for the end has to open it.
#[test]
fn a_stop_lets_go_of_a_drive_at_work_and_the_next_run_proves_what_it_did() {
    let clock = SimulatedClock::new();
    let nvme = SimulatedNvme::new(content(), NvmeIdentity::default(), clock.clone());
    let drives: [(&str, DriveKind, &str, Arc<dyn Drive>); 3] = [
        ("/dev/nvme0n1", DriveKind::Nvme, "nvme-sanitize-block", Arc::new(nvme)),
        (
            "/dev/sda",
            DriveKind::Scsi,
            "scsi-sanitize-block",
            Arc::new(SimulatedScsi::new(content(), &clock, ScsiTraits::default())),
        ),
        (
            "/dev/sdb",
            DriveKind::Scsi,
            "ata-sanitize-block",
            Arc::new(SimulatedAta::new(content(), &clock, AtaTraits::default())),
        ),
    ];
    for (name, kind, method, drive) in drives {
        let first = bench(&clock, name, kind, drive.clone());
        let (notes, disks) = (first.notes(), vec![first.slots[name].disk.clone()]);
        let first: Arc<dyn DriveSource> = Arc::new(first);
        let (node, ports, args) = (json!({}), json!([]), json!({ "method": method }));
        let (args, observer) = (args.as_object().unwrap(), Watcher::default());
        let policy = Policy::read(&node, args).unwrap();
        let context = StepContext { node: &node, ports: &ports, args, observer: &observer };
        let job = probe(&first, disks, &context, &policy).unwrap().0.remove(0).job;
        // Stopped when the drive is told to begin.
        let slot = Arc::new(OnceLock::<Arc<Control>>::new());
        let own = slot.clone();
        let control = Arc::new(Control::new(move |report| {
            if let Some(control) = own.get().filter(|_| report.stage == method) {
                control.cancel();
            }
        }));
        slot.set(control.clone()).ok().unwrap();
        let mut proof = begin(&job);
        let error = erase(first.as_ref(), &job, &policy, &control, &mut proof).unwrap_err();
        let EraseError::Cancelled { state } = error else { panic!("{method}: {error}") };
        assert!(state.contains("goes on in the drive") && state.contains("erase it again"), "{state}");

        let again = bench(&clock, name, kind, drive);
        again.leave_note(name, notes.lock().unwrap()[name].clone());
        let proofs = run(again, json!({}), json!({})).outcome.unwrap();
        assert_eq!((proofs[0].method.as_str(), proofs[0].result), (method, ProofResult::Proven));
        assert!(proofs[0].actions.iter().any(|line| line.contains("begun by an earlier run")), "{method}");
    }
}
