//! Time-outs of steps, and steps that are to stop.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::super::StepError;
use super::{Folder, Observer, is_gone, run_as, step_with};

const STARTED: &str = r#"{"message":"progress","stage":"started","done":0,"total":1}"#;

/// Runs a step that is to stop as soon as it tells of itself.
fn stopped(step: &Value, body: &str) -> (Folder, Result<super::StepOutcome, StepError>, Duration) {
    let folder = Folder::new();
    folder.manager(&json!([step_with("x", step)]), &format!("run_step)\necho $$ >\"$W/pid\"\n{body}\n;;"));
    let observer = Observer { stop_at: Some("started"), ..Observer::default() };
    let managers = folder.managers();
    let begun = Instant::now();
    let outcome = run_as(&managers, "x", &json!({}), &json!({}), &observer);
    (folder, outcome, begun.elapsed())
}

fn was_stopped(outcome: &Result<super::StepOutcome, StepError>, touched: bool) {
    let expected = StepError::Stopped { manager: "vendor".into(), step: "x".into(), touched };
    assert_eq!(outcome, &Err(expected));
}

#[test]
fn a_line_asks_it_to_stop() {
    let body = format!(
        "read request; echo '{STARTED}'; read line; echo \"$line\" >\"$W/line\"\n\
         echo '{{\"message\":\"error\",\"details\":\"stopped\"}}'"
    );
    let (folder, outcome, _) = stopped(&json!({"abortable": true, "destructive": true}), &body);
    was_stopped(&outcome, true);
    let line = std::fs::read_to_string(folder.witness("line")).unwrap();
    assert_eq!(line.trim(), "{\"protocol\":1,\"request\":\"cancel\"}");
}

#[test]
fn a_signal_follows_and_then_no_more_patience() {
    let abortable = json!({"abortable": true, "stop_seconds": 0});
    let body = format!("trap 'echo >\"$W/term\"; exit 1' TERM; echo '{STARTED}'; sleep 600 & wait");
    let (folder, outcome, time) = stopped(&abortable, &body);
    was_stopped(&outcome, false);
    assert!(folder.witness("term").exists() && time < Duration::from_secs(30));

    let body = format!(
        "trap '' TERM; setsid sleep 600 & echo $! >\"$W/other\"; echo '{STARTED}'; while :; do sleep 1; done"
    );
    let (folder, outcome, time) = stopped(&abortable, &body);
    was_stopped(&outcome, false);
    assert!(is_gone(&folder.witness("pid")) && is_gone(&folder.witness("other")));
    assert!(time < Duration::from_secs(30));
}

#[test]
fn what_is_done_before_it_stops_counts() {
    let done = json!({"message": "result", "step": "x", "result": "done"});
    let body = format!("read request; echo '{STARTED}'; read line; echo '{done}'");
    let (_, outcome, _) = stopped(&json!({"abortable": true}), &body);
    assert_eq!(outcome.unwrap().result, "done");
}

#[test]
fn what_must_not_be_stopped_is_not() {
    let done = json!({"message": "result", "step": "x", "result": "done"});
    // The input is closed: there will be no wish to stop.
    let body = format!("read request; echo '{STARTED}'; read line && exit 1; echo '{done}'");
    let (_, outcome, _) = stopped(&json!({}), &body);
    assert_eq!(outcome.unwrap().result, "done");
}

#[test]
fn a_step_has_the_time_that_it_wants_and_no_more() {
    let folder = Folder::new();
    folder.manager(
        &json!([step_with("x", &json!({"destructive": true, "timeout_seconds": 3}))]),
        "run_step) echo $$ >\"$W/pid\"; sleep 600;;",
    );
    let observer = Observer::default();
    let begun = Instant::now();
    let error = run_as(&folder.managers(), "x", &json!({}), &json!({}), &observer).unwrap_err();
    assert!(error.details().contains("it did not end within 3 s"), "{}", error.details());
    assert!(error.disk_touched() && begun.elapsed() < Duration::from_secs(60));
    assert!(is_gone(&folder.witness("pid")));
    assert!(!observer.stop.load(Ordering::Relaxed));
}
