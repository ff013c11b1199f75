//! Drives that keep sectors back from the host.

use std::sync::Arc;

use serde_json::{Value, json};
use tacit_model::{EraseStandard, PlanVerdict, ProofResult};

use super::{Bench, MIB, Run, run};
use crate::drives::DriveKind;
use crate::drives::simulated::{
    AtaTraits, Content, NvmeIdentity, ScsiTraits, SimulatedAta, SimulatedClock, SimulatedNvme, SimulatedScsi,
};

/// A magnetic disk that can do nothing by itself.
fn plain() -> AtaTraits {
    AtaTraits {
        rotation: 7200,
        security: false,
        sanitize_crypto: false,
        sanitize_block: false,
        sanitize_overwrite: false,
        trim: false,
        ..AtaTraits::default()
    }
}

fn erase(traits: AtaTraits, args: Value) -> Run {
    let clock = SimulatedClock::new();
    let content = Content::new(16 * MIB, 512);
    content.fill(content.whole(), 0x31);
    let mut bench = Bench::new(&clock);
    bench.put("/dev/sda", DriveKind::Scsi, Arc::new(SimulatedAta::new(content, &clock, traits)));
    run(bench, json!({}), args)
}

#[test]
fn overwriting_does_not_claim_what_lies_behind_the_last_address() {
    let traits = AtaTraits { hidden_sectors: 2048, ..plain() };
    let done = erase(traits.clone(), json!({"verify": "full"}));
    assert!(done.plans[0].reasons[0].starts_with("1048576 bytes lie behind"), "{:?}", done.plans[0].reasons);
    assert_eq!(done.plans[0].methods[0].standard, EraseStandard::None);
    let proofs = done.outcome.unwrap();
    let proof = &proofs[0];
    assert_eq!((proof.method.as_str(), proof.result), ("overwrite", ProofResult::Proven));
    assert_eq!(proof.standard, EraseStandard::None);
    let line = "NOT erased: 1048576 bytes behind the last address, which the host cannot reach";
    assert!(proof.verification.iter().any(|known| known == line), "{:?}", proof.verification);
    // Whoever wants the standard gets a refusal.
    let refused = erase(traits, json!({"require": "clear"}));
    assert_eq!(refused.plans[0].verdict, PlanVerdict::Refuse);
    assert_eq!(erase(plain(), json!({})).outcome.unwrap()[0].standard, EraseStandard::Clear);
}

#[test]
fn a_configuration_hides_from_security_erase_too_and_not_from_sanitize() {
    let hidden = AtaTraits { hidden_sectors: 8, overlaid_sectors: 16, ..plain() };
    let security = erase(AtaTraits { security: true, ..hidden.clone() }, json!({})).outcome.unwrap();
    assert_eq!(security[0].method, "ata-security-erase-enhanced");
    assert_eq!(security[0].standard, EraseStandard::None);
    assert!(security[0].verification.iter().any(|line| line.starts_with("NOT erased: 8192 bytes behind")));
    let area = AtaTraits { overlaid_sectors: 0, security: true, ..hidden.clone() };
    assert_eq!(erase(area, json!({})).outcome.unwrap()[0].standard, EraseStandard::Purge);
    let sanitized = erase(AtaTraits { sanitize_block: true, ..hidden }, json!({})).outcome.unwrap();
    assert_eq!(sanitized[0].standard, EraseStandard::Purge);
    assert!(sanitized[0].actions.iter().any(|line| line.contains("is the drive's word")));
    assert!(!sanitized[0].verification.iter().any(|line| line.contains("NOT erased")));
}

#[test]
fn a_drive_that_does_not_tell_is_said_not_to() {
    let locked = AtaTraits { overlaid_sectors: 16, configuration_locked: true, ..plain() };
    let run = erase(locked, json!({}));
    assert!(run.plans[0].reasons.iter().any(|reason| reason.contains("does not tell whether it hides")));
    let proofs = run.outcome.unwrap();
    assert!(proofs[0].actions.iter().any(|line| line.contains("does not tell whether it hides")));
}

/// An adapter that reaches 2 TiB of a drive of four, a LUN that has grown.
#[test]
fn what_the_drive_has_and_the_kernel_does_not_see_is_not_claimed() {
    let traits = AtaTraits { unseen_sectors: 2048, hidden_sectors: 8, overlaid_sectors: 8, ..plain() };
    let done = erase(traits.clone(), json!({}));
    assert_eq!(done.plans[0].methods[0].standard, EraseStandard::None);
    let proofs = done.outcome.unwrap();
    assert_eq!((proofs[0].method.as_str(), proofs[0].standard), ("overwrite", EraseStandard::None));
    let left = (2048 + 8 + 8) * 512;
    assert!(proofs[0].verification.iter().any(|line| line.contains(&format!("NOT erased: {left} bytes"))));
    let unseen = AtaTraits { hidden_sectors: 0, overlaid_sectors: 0, ..traits };
    assert_eq!(erase(unseen, json!({"require": "clear"})).plans[0].verdict, PlanVerdict::Refuse);

    let content = || Content::new(16 * MIB, 512);
    for (method, standard) in
        [("overwrite", EraseStandard::None), ("scsi-sanitize-block", EraseStandard::Purge)]
    {
        let clock = SimulatedClock::new();
        let traits = ScsiTraits { unseen_blocks: 1, ..ScsiTraits::default() };
        let mut bench = Bench::new(&clock);
        bench.put("/dev/sda", DriveKind::Scsi, Arc::new(SimulatedScsi::new(content(), &clock, traits)));
        let proofs = run(bench, json!({}), json!({ "method": method })).outcome.unwrap();
        assert_eq!(proofs[0].standard, standard, "{method}");
    }
    for (method, standard) in
        [("overwrite", EraseStandard::None), ("nvme-format-crypto", EraseStandard::Purge)]
    {
        let clock = SimulatedClock::new();
        let identity = NvmeIdentity { unseen_blocks: 1, ..NvmeIdentity::default() };
        let drive = Arc::new(SimulatedNvme::new(content(), identity, clock.clone()));
        let mut bench = Bench::new(&clock);
        bench.put("/dev/nvme0n1", DriveKind::Nvme, drive);
        let proofs = run(bench, json!({}), json!({ "method": method })).outcome.unwrap();
        assert_eq!(proofs[0].standard, standard, "{method}");
    }
}
