use std::sync::Arc;

use serde_json::json;
use tacit_model::ProofResult::{self, Failed, Proven};
use tacit_model::{EraseStandard, PlanVerdict};

use super::{Bench, MIB, run};
use crate::drives::simulated::{Content, SimulatedClock};
use crate::erase::step::result;
use crate::managers::StepError;
use crate::wipe::KeptArray;

#[test]
fn one_failure_stops_nobody_and_all_failures_are_named() {
    let mut bench = Bench::new(&SimulatedClock::new());
    let contents: Vec<Arc<Content>> = (0..6).map(|_| Arc::new(Content::new(4 * MIB, 512))).collect();
    for (number, content) in contents.iter().enumerate() {
        content.fill(content.whole(), 0x55);
        bench.plain(&format!("/dev/vd{}", char::from(b'a' + number as u8)), content);
    }
    contents[1].set_gone(true);
    contents[4].fail_writes(MIB + 4096..MIB + 8192);
    bench.slots.get_mut("/dev/vdf").unwrap().findings.held.push("/dev/vdf is used as swap".to_owned());
    let run = run(bench, json!({"disk_erasure_concurrency": 2}), json!({}));
    let error = run.outcome.unwrap_err();
    assert_eq!(error.done().collect::<Vec<_>>(), ["/dev/vda", "/dev/vdc", "/dev/vdd"]);
    match error {
        StepError::Erase { failures, proofs, touched } => {
            let failed: Vec<&str> = failures.iter().map(|failure| failure.device.as_str()).collect();
            assert_eq!(failed, ["/dev/vdb", "/dev/vde", "/dev/vdf"]);
            // Those that are done are proven as if they were alone, and the others are accounted for.
            let results: Vec<ProofResult> = proofs.iter().map(|proof| proof.result).collect();
            assert_eq!(results, [Proven, Failed, Proven, Proven, Failed, Failed]);
            let (good, bad) = (&proofs[0], &proofs[4]);
            assert!(good.standard == EraseStandard::Clear && !good.verification.is_empty());
            assert!(good.started.is_some() && good.finished.is_some());
            assert!(bad.standard == EraseStandard::None && bad.verification.is_empty());
            assert_eq!((bad.method.as_str(), bad.size), ("overwrite", Some(4 * MIB)));
            assert_eq!(bad.actions.last(), Some(&format!("failed: {}", failures[1].reason)));
            assert!(touched && failures[2].reason.contains("swap"));
        }
        other => panic!("{other}"),
    }
    let mut left = [0; 4];
    contents[5].read_at(0, &mut left).unwrap();
    assert_eq!(left, [0x55; 4]);
}

#[test]
fn a_name_that_several_arrays_have_exempts_none_of_them() {
    let verdicts = |uuids: [u8; 2]| {
        let mut bench = Bench::new(&SimulatedClock::new());
        let contents: Vec<Arc<Content>> = (0..3).map(|_| Arc::new(Content::new(4 * MIB, 512))).collect();
        for (uuid, (name, content)) in uuids.into_iter().zip(["/dev/vda", "/dev/vdb"].iter().zip(&contents)) {
            let kept = KeptArray { entry: "data".to_owned(), uuid: [uuid; 16] };
            bench.plain(name, content).kept_volume = Some(kept);
        }
        bench.plain("/dev/vdc", &contents[2]);
        let run = run(bench, json!({}), json!({}));
        assert_eq!((contents[0].writes(), contents[1].writes()), (0, 0));
        let verdicts: Vec<PlanVerdict> = run.plans.iter().map(|plan| plan.verdict).collect();
        (verdicts, run.outcome.map_err(|error| error.details()))
    };
    let (skipped, outcome) = verdicts([1, 1]);
    assert_eq!(skipped, [PlanVerdict::Skip, PlanVerdict::Skip, PlanVerdict::Erase]);
    let result = result(&outcome.unwrap());
    assert!(result["skipped"]["/dev/vda"].as_str().unwrap().contains("its content stays"), "{result}");
    assert_eq!(result["skipped"].as_object().unwrap().len(), 2);
    let (refused, outcome) = verdicts([1, 2]);
    assert_eq!(refused, [PlanVerdict::Refuse, PlanVerdict::Refuse, PlanVerdict::Erase]);
    assert!(outcome.unwrap_err().contains("several arrays that are called data"));
}

#[test]
fn a_disk_that_is_left_to_an_array_that_stays_is_not_said_to_be_erased_with_it() {
    let mut bench = Bench::new(&SimulatedClock::new());
    let contents: Vec<Arc<Content>> = (0..2).map(|_| Arc::new(Content::new(4 * MIB, 512))).collect();
    bench.plain("/dev/md0", &contents[0]).read_only = true;
    bench.plain("/dev/vda", &contents[1]).member_of = Some("/dev/md0".to_owned());
    let run = run(bench, json!({"agent_erase_skip_read_only": true}), json!({}));
    let reason = &run.plans[1].reasons[0];
    assert!(reason.starts_with("part of /dev/md0, which stays as it is: read-only"), "{reason}");
    assert!(run.outcome.is_ok());
}

#[test]
fn a_shared_file_system_anywhere_stops_all_before_anything_is_written() {
    let mut bench = Bench::new(&SimulatedClock::new());
    let contents: Vec<Arc<Content>> = (0..2).map(|_| Arc::new(Content::new(4 * MIB, 512))).collect();
    bench.plain("/dev/vda", &contents[0]);
    bench.plain("/dev/vdb", &contents[1]).shared = Some("VMFS (disk, offset 0)".to_owned());
    let error = run(bench, json!({}), json!({})).outcome.unwrap_err();
    assert!(matches!(&error, StepError::Protected { device, .. } if device == "/dev/vdb"), "{error}");
    assert_eq!((contents[0].writes(), contents[1].writes()), (0, 0));
}
