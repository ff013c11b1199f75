//! ATA and SCSI drives, and those that TCG locks.

use std::sync::Arc;

use serde_json::{Value, json};
use tacit_blockdev::Drive;
use tacit_model::{EraseStandard, PlanVerdict};

use super::{Bench, MIB, Run, run};
use crate::drives::DriveKind;
use crate::drives::simulated::{
    AtaTraits, Content, Misbehaviour, ScsiTraits, SimulatedAta, SimulatedClock, SimulatedScsi, SimulatedTcg,
};

const PSID: &str = "ABCDEFGHJKLMNPQRSTUVWXYZ01234567";

fn content() -> Content {
    let content = Content::new(16 * MIB, 512);
    content.fill(content.whole(), 0x31);
    content
}

fn ata(traits: AtaTraits) -> (SimulatedClock, Arc<SimulatedAta>) {
    let clock = SimulatedClock::new();
    let drive = Arc::new(SimulatedAta::new(content(), &clock, traits));
    (clock, drive)
}

fn erase(clock: &SimulatedClock, drive: Arc<dyn Drive>, knobs: Value, args: Value) -> Run {
    let mut bench = Bench::new(clock);
    bench.put("/dev/sda", DriveKind::Scsi, drive);
    run(bench, knobs, args)
}

/// A magnetic disk of before sanitize.
fn old_disk() -> AtaTraits {
    AtaTraits {
        rotation: 7200,
        sanitize_crypto: false,
        sanitize_block: false,
        sanitize_overwrite: false,
        trim: false,
        ..AtaTraits::default()
    }
}

#[test]
fn each_family_s_first_choice_is_proven() {
    let (clock, drive) = ata(AtaTraits::default());
    let proofs = erase(&clock, drive, json!({}), json!({})).outcome.unwrap();
    assert_eq!(
        (proofs[0].method.as_str(), proofs[0].standard),
        ("ata-sanitize-crypto", EraseStandard::Purge)
    );
    assert_eq!(proofs[0].serial.as_deref(), Some("SIM0ATA"));
    assert_eq!(proofs[0].firmware.as_deref(), Some("FW01"));

    let (clock, drive) = ata(old_disk());
    let proofs = erase(&clock, drive.clone(), json!({}), json!({})).outcome.unwrap();
    let (method, standard) = ("ata-security-erase-enhanced", EraseStandard::Purge);
    assert_eq!((proofs[0].method.as_str(), proofs[0].standard), (method, standard));
    assert!(!drive.has_password());

    let clock = SimulatedClock::new();
    let drive = Arc::new(SimulatedScsi::new(content(), &clock, ScsiTraits::default()));
    let proofs = erase(&clock, drive, json!({}), json!({})).outcome.unwrap();
    assert_eq!(proofs[0].method, "scsi-sanitize-crypto");
}

#[test]
fn a_frozen_drive_is_sanitised_where_it_can_be_and_refused_elsewhere() {
    let (clock, drive) = ata(AtaTraits::default());
    drive.freeze();
    let proofs = erase(&clock, drive, json!({}), json!({})).outcome.unwrap();
    assert_eq!(proofs[0].method, "ata-sanitize-crypto");

    let (clock, drive) = ata(old_disk());
    drive.freeze();
    let refused = erase(&clock, drive.clone(), json!({}), json!({}));
    assert_eq!(refused.plans[0].verdict, PlanVerdict::Refuse);
    assert_eq!(drive.content().writes(), 0);
    let error = refused.outcome.unwrap_err();
    assert!(error.details().contains("froze") && !error.disk_touched(), "{}", error.details());

    let allowed = json!({"agent_continue_if_secure_erase_failed": true});
    let proofs = erase(&clock, drive, allowed, json!({})).outcome.unwrap();
    assert_eq!((proofs[0].method.as_str(), proofs[0].standard), ("overwrite", EraseStandard::Clear));
}

#[test]
fn a_drive_locked_by_somebody_is_not_erased_and_one_locked_by_a_cut_off_erasure_is() {
    let (clock, drive) = ata(old_disk());
    drive.lock_with("somebody's");
    let run = erase(&clock, drive.clone(), json!({}), json!({}));
    assert!(
        run.plans[0].reasons.iter().any(|reason| reason.contains("locked")),
        "{:?}",
        run.plans[0].reasons
    );
    let error = run.outcome.unwrap_err();
    assert!(error.details().contains("no marks could be written"), "{}", error.details());
    assert!(drive.has_password());

    drive.lock_with("NULL");
    let proofs = erase(&clock, drive.clone(), json!({}), json!({})).outcome.unwrap();
    assert_eq!(proofs[0].method, "ata-security-erase-enhanced");
    assert!(!drive.has_password());
}

#[test]
fn drives_that_lie_fail_hang_or_vanish_are_never_proven() {
    for misbehaviour in
        [Misbehaviour::Lies, Misbehaviour::FailsHalfWay, Misbehaviour::Hangs, Misbehaviour::Vanishes]
    {
        let (clock, drive) = ata(AtaTraits { misbehaviour, ..AtaTraits::default() });
        let run = erase(&clock, drive, json!({}), json!({}));
        let error = run.outcome.unwrap_err();
        assert!(error.details().contains("ata-sanitize-crypto: "), "{misbehaviour:?}: {}", error.details());
        assert!(error.disk_touched());

        let clock = SimulatedClock::new();
        let traits = ScsiTraits { misbehaviour, ..ScsiTraits::default() };
        let drive = Arc::new(SimulatedScsi::new(content(), &clock, traits));
        let error = erase(&clock, drive, json!({}), json!({})).outcome.unwrap_err();
        assert!(error.details().contains("scsi-sanitize-crypto: "), "{misbehaviour:?}: {}", error.details());
        if misbehaviour == Misbehaviour::Hangs {
            // One that is still at work is left alone.
            assert!(!error.details().contains("scsi-sanitize-block"), "{}", error.details());
        }
    }
}

#[test]
fn reservations_of_other_hosts_are_respected_by_every_method() {
    let clock = SimulatedClock::new();
    let traits = ScsiTraits { keys: vec![0xabcd], holder: Some(0xabcd), ..ScsiTraits::default() };
    let drive = Arc::new(SimulatedScsi::new(content(), &clock, traits));
    for method in ["auto", "overwrite", "scsi-sanitize-crypto"] {
        let run = erase(&clock, drive.clone(), json!({}), json!({ "method": method }));
        assert_eq!(run.plans[0].verdict, PlanVerdict::Refuse, "{method}");
        assert!(run.plans[0].reasons[0].contains("0xabcd"), "{:?}", run.plans[0].reasons);
    }
    assert_eq!(drive.content().writes(), 0);
}

fn opal(tcg: SimulatedTcg, sanitize_crypto: bool) -> (SimulatedClock, Arc<SimulatedScsi>) {
    let clock = SimulatedClock::new();
    let traits = ScsiTraits {
        tcg: Some(tcg),
        sanitize_crypto,
        sanitize_block: false,
        sanitize_overwrite: false,
        ..ScsiTraits::default()
    };
    let drive = Arc::new(SimulatedScsi::new(content(), &clock, traits));
    (clock, drive)
}

fn with_psid(psid: &str, require: &str) -> Value {
    let psids = json!({"SIM0SCSI": psid});
    if require.is_empty() {
        json!({ "opal_psids": psids })
    } else {
        json!({"opal_psids": psids, "require": require})
    }
}

#[test]
fn an_opal_drive_that_can_be_written_is_proven_by_its_revert() {
    let (clock, drive) = opal(SimulatedTcg { locked: false, ..SimulatedTcg::locked(PSID) }, false);
    let proofs = erase(&clock, drive, json!({}), with_psid(PSID, "purge")).outcome.unwrap();
    assert_eq!((proofs[0].method.as_str(), proofs[0].standard), ("opal-revert-psid", EraseStandard::Purge));
    assert!(!proofs[0].verification.is_empty());
    assert!(!serde_json::to_string(&proofs).unwrap().contains(PSID));
}

#[test]
fn a_locked_opal_drive_is_opened_by_its_psid_and_proven_by_another_method() {
    let (clock, drive) = opal(SimulatedTcg::locked(PSID), false);
    // Nothing behind a lock can be marked, and an open drive need not be emptied by a revert: the second run, too, has
    // overwriting.
    for opened in [true, false] {
        let proofs = erase(&clock, drive.clone(), json!({}), with_psid(PSID, "clear")).outcome.unwrap();
        assert_eq!((proofs[0].method.as_str(), proofs[0].standard), ("overwrite", EraseStandard::Clear));
        let reverted = proofs[0].actions.iter().any(|line| line.contains("took its PSID"));
        assert_eq!(reverted, opened, "{:?}", proofs[0].actions);
    }

    let (clock, drive) = opal(SimulatedTcg::locked(PSID), true);
    let run = erase(&clock, drive, json!({}), with_psid(PSID, "purge"));
    assert_eq!(run.plans[0].methods[0].method, "opal-revert-psid");
    assert_eq!(run.plans[0].methods[0].standard, EraseStandard::None);
    let proofs = run.outcome.unwrap();
    assert_eq!(
        (proofs[0].method.as_str(), proofs[0].standard),
        ("scsi-sanitize-crypto", EraseStandard::Purge)
    );

    // Where nothing follows that could prove what is asked for, it is not emptied for nothing.
    let (clock, drive) = opal(SimulatedTcg::locked(PSID), false);
    let refused = erase(&clock, drive.clone(), json!({}), with_psid(PSID, "purge"));
    assert_eq!(refused.plans[0].verdict, PlanVerdict::Refuse);
    let reasons = &refused.plans[0].reasons;
    assert!(reasons.iter().any(|reason| reason.contains("only opens a locked drive")), "{reasons:?}");
    drive.read_at(0, &mut [0; 512]).unwrap_err();
}

#[test]
fn a_locked_opal_drive_that_stays_locked_is_not_erased() {
    let wrong = "0".repeat(32);
    let (clock, drive) = opal(SimulatedTcg::locked(PSID), false);
    let error = erase(&clock, drive.clone(), json!({}), with_psid(&wrong, "")).outcome.unwrap_err();
    assert!(error.details().contains("opal-revert-psid") && !error.details().contains(&wrong));
    let without = erase(&clock, drive, json!({}), json!({"require": "purge"}));
    assert_eq!(without.plans[0].verdict, PlanVerdict::Refuse);
    let (clock, liar) = opal(SimulatedTcg { lies: true, ..SimulatedTcg::locked(PSID) }, true);
    assert!(erase(&clock, liar, json!({}), with_psid(PSID, "")).outcome.is_err());
}

#[test]
fn a_sanitize_that_is_under_way_is_waited_for_and_then_done_anew() {
    let (clock, drive) = ata(AtaTraits::default());
    drive.begin_sanitize();
    let proofs = erase(&clock, drive, json!({}), json!({})).outcome.unwrap();
    assert_eq!(proofs[0].method, "ata-sanitize-crypto");
    assert!(proofs[0].actions.iter().any(|line| line.contains("was waited for")), "{:?}", proofs[0].actions);
    let clock = SimulatedClock::new();
    let drive = Arc::new(SimulatedScsi::new(content(), &clock, ScsiTraits::default()));
    drive.begin_sanitize();
    assert!(erase(&clock, drive, json!({}), json!({})).outcome.is_ok());
}
