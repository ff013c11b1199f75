use std::sync::Arc;

use serde_json::json;
use tacit_model::{EraseStandard, PlanVerdict, ProofResult};

use super::{Bench, MIB, Watcher, methods, run, run_observed};
use crate::drives::simulated::{Content, SimulatedClock};
use crate::managers::StepError;

fn content(size: u64, sector: u32) -> Arc<Content> {
    let content = Arc::new(Content::new(size, sector));
    content.fill(0..size, 0x77);
    content
}

fn bench(content: &Arc<Content>) -> Bench {
    let mut bench = Bench::new(&SimulatedClock::new());
    bench.plain("/dev/vda", content);
    bench
}

fn byte(content: &Content, at: u64) -> u8 {
    let mut byte = [0];
    content.read_at(at, &mut byte).unwrap();
    byte[0]
}

#[test]
fn every_byte_is_overwritten_on_sectors_of_any_size() {
    for (size, sector) in [(4 * MIB, 512), (5 * MIB + 4096, 4096), (3 * MIB + 512, 512), (8192, 512)] {
        let content = content(size, sector);
        let run = run(bench(&content), json!({}), json!({"verify": "full"}));
        assert_eq!(methods(&run.plans[0]), ["overwrite"]);
        let proofs = run.outcome.unwrap();
        assert_eq!((proofs[0].result, proofs[0].standard), (ProofResult::Proven, EraseStandard::Clear));
        let all = format!("all {size} bytes read back as the zeros of the last pass");
        assert!(proofs[0].verification.contains(&all), "{:?}", proofs[0].verification);
        let kept = proofs[0].actions.iter().any(|action| action.contains("kept its old view"));
        assert!(
            !kept,
            "it was still held when its partitions were to be read again: {:?}",
            proofs[0].actions
        );
        assert!((0..size).step_by(509).all(|at| byte(&content, at) == 0));
    }
}

#[test]
fn passes_are_as_asked_and_random_data_is_read_back_too() {
    let content = content(4 * MIB, 512);
    let knobs = json!({"agent_erase_devices_iterations": 2, "agent_erase_devices_zeroize": false});
    let watcher = Watcher::default();
    let run = run_observed(bench(&content), knobs, json!({"verify": "full"}), &watcher);
    let proofs = run.outcome.unwrap();
    let passes = proofs[0].actions.iter().filter(|line| line.starts_with("pass ")).count();
    assert_eq!(passes, 2, "{:?}", proofs[0].actions);
    assert!(proofs[0].verification.iter().any(|line| line.contains("random data")));
    assert!(watcher.saw("/dev/vda", "overwrite 2/2") && watcher.saw("/dev/vda", "verify"));
    // Four times the same byte is no noise.
    assert!((0..4096).any(|at| byte(&content, at) != byte(&content, at + 4096)));
}

#[test]
fn sectors_that_cannot_be_written_fail_the_device_unless_they_are_accepted() {
    let bad = 2 * MIB + 512..2 * MIB + 1536;
    let content = content(4 * MIB, 512);
    content.fail_writes(bad.clone());
    let error = run(bench(&content), json!({}), json!({})).outcome.unwrap_err();
    assert!(error.details().contains("1 bad ranges, 1024 bytes in all"), "{}", error.details());

    let run = run(bench(&content), json!({}), json!({"bad_sectors": "accept", "verify": "full"}));
    let proofs = run.outcome.unwrap();
    assert_eq!((proofs[0].result, proofs[0].standard), (ProofResult::Proven, EraseStandard::None));
    let line = format!("NOT erased: 1024 bytes at offset {}, which cannot be written", bad.start);
    assert!(proofs[0].verification.contains(&line), "{:?}", proofs[0].verification);
    // All others around them are.
    assert_eq!(
        (byte(&content, bad.start - 1), byte(&content, bad.end), byte(&content, bad.start)),
        (0, 0, 0x77)
    );
}

#[test]
fn sectors_that_cannot_be_read_back_are_not_proven() {
    let content = content(4 * MIB, 512);
    content.fail_reads(3 * MIB + 300_000..3 * MIB + 300_001);
    let error = run(bench(&content), json!({}), json!({})).outcome.unwrap_err();
    assert!(error.details().contains(&format!("offset {} cannot be read", 3 * MIB)), "{}", error.details());
}

#[test]
fn a_device_that_refuses_everything_is_broken_and_soon_given_up() {
    let content = content(64 * MIB, 512);
    content.fail_writes(8 * MIB..64 * MIB - 2 * MIB);
    content.fail_writes(0..4096);
    let error = run(bench(&content), json!({}), json!({"bad_sectors": "accept"})).outcome.unwrap_err();
    assert!(error.disk_touched());
    assert!(content.writes() < 20_000, "{}", content.writes());
}

#[test]
fn bad_sectors_that_are_accepted_do_not_pass_for_what_was_required() {
    for args in [
        json!({"require": "clear", "bad_sectors": "accept"}),
        json!({"method": "clear", "bad_sectors": "accept"}),
    ] {
        let content = content(4 * MIB, 512);
        content.fail_writes(MIB + 4096..MIB + 8192);
        let error = run(bench(&content), json!({}), args.clone()).outcome.unwrap_err();
        assert!(error.details().contains("1 bad ranges, 4096 bytes in all"), "{args}: {}", error.details());
    }
}

#[test]
fn read_only_devices_fail_or_are_skipped_as_the_node_says() {
    for (skip, verdict) in [(false, PlanVerdict::Refuse), (true, PlanVerdict::Skip)] {
        let content = content(4 * MIB, 512);
        content.set_read_only(true);
        let mut bench = Bench::new(&SimulatedClock::new());
        bench.plain("/dev/vda", &content).read_only = true;
        let run = run(bench, json!({"agent_erase_skip_read_only": skip}), json!({}));
        assert_eq!(run.plans[0].verdict, verdict);
        assert_eq!(run.outcome.is_ok(), skip);
        if let Ok(proofs) = run.outcome {
            assert_eq!(proofs[0].result, ProofResult::Skipped);
        }
        assert_eq!(byte(&content, 0), 0x77);
    }
}

#[test]
fn a_device_of_no_size_is_never_proven() {
    let content = Arc::new(Content::new(0, 512));
    let run = run(bench(&content), json!({}), json!({}));
    assert_eq!(run.plans[0].verdict, PlanVerdict::Refuse);
    assert!(run.outcome.is_err());
}

#[test]
fn discarding_is_believed_only_when_zeros_are_read() {
    let asked = json!({"method": "verified-discard"});
    let content = content(64 * MIB, 512);
    let proofs = run(bench(&content), json!({}), asked.clone()).outcome.unwrap();
    assert_eq!((proofs[0].method.as_str(), proofs[0].standard), ("verified-discard", EraseStandard::None));
    let full = json!({"method": "verified-discard", "verify": "full", "require": "clear"});
    let proofs = run(bench(&content), json!({}), full).outcome.unwrap();
    assert_eq!(proofs[0].standard, EraseStandard::Clear);
    content.set_keeps(true);
    let error = run(bench(&content), json!({}), asked).outcome.unwrap_err();
    assert!(error.details().contains("still readable"), "{}", error.details());
}

#[test]
fn a_stop_is_heard_between_requests_and_says_what_is_left() {
    let content = content(512 * MIB, 512);
    let watcher = Watcher { stop_at: Some("overwrite"), ..Watcher::default() };
    let run =
        run_observed(bench(&content), json!({"agent_erase_devices_iterations": 50}), json!({}), &watcher);
    match run.outcome.unwrap_err() {
        StepError::Halted { states, proofs, touched } => {
            assert!(touched && proofs.len() == 1 && proofs[0].result == ProofResult::Failed);
            assert!(states[0].reason.contains("partly overwritten"), "{}", states[0].reason);
        }
        other => panic!("{other}"),
    }
}
