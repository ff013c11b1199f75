//! Steps of programs: what they must answer, and what they must not replace.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};
use tacit_model::{Proof, ProofResult};

use super::super::super::{HardwareManager, Managers, StepContext, StepError, StepFamily, SupportLevel};
use super::{Folder, Observer, run, run_as, step, step_with};

fn answering(steps: &Value, answer: &Value) -> Folder {
    let folder = Folder::new();
    folder.manager(steps, &format!("run_step) echo '{answer}';;"));
    folder
}

fn proof(verification: &Value) -> Value {
    json!({"device": "/dev/sda", "serial": null, "model": null, "method": "vendor-erase", "standard": "purge",
        "actions": ["erased"], "verification": verification, "result": "proven"})
}

fn details(outcome: Result<super::StepOutcome, StepError>) -> String {
    outcome.unwrap_err().details()
}

#[test]
fn a_step_with_its_result_and_progress() {
    let folder = Folder::new();
    let progress = json!({"message": "progress", "stage": "s", "device": "/dev/sda", "done": 1, "total": 2});
    let done = json!({"message": "result", "step": "x", "result": [1]});
    folder.manager(
        &json!([step_with(
            "x",
            &json!({"service": 0, "abortable": true,
            "argsinfo": {"speed": {"description": "How fast.", "required": true}}})
        )]),
        &format!(
            "run_step) cat >\"$W/request\"; echo \"$2\" >\"$W/step\"; echo '{progress}'; echo '{done}';;"
        ),
    );
    let managers = folder.managers();
    let offered = |family| json!(managers.steps(family, &json!({}), &json!([])).unwrap());
    let expected = |priority: i32| {
        json!({"vendor": [{"interface": "deploy", "step": "x", "priority": priority, "reboot_requested": false,
            "abortable": true, "argsinfo": {"speed": {"description": "How fast.", "required": true}}}]})
    };
    assert_eq!(offered(StepFamily::Clean), expected(5));
    assert_eq!(offered(StepFamily::Service), expected(0));
    assert_eq!(offered(StepFamily::Deploy), json!({"vendor": []}));
    assert_eq!(json!(managers.versions()), json!({"vendor": "2"}));

    let observer = Observer::default();
    // Stopping is what keeps the input open, and this one waits for its end: it has to be asked in time.
    observer.stop.store(true, Ordering::Relaxed);
    let node = json!({"uuid": "n"});
    let outcome = run_as(&managers, "x", &node, &json!({"speed": 3, "dry_run": false}), &observer).unwrap();
    assert_eq!((outcome.manager.as_str(), outcome.result), ("vendor", json!([1])));
    assert_eq!(*observer.seen.lock().unwrap(), [("s".into(), "/dev/sda".into(), 1, 2)]);
    let sent = std::fs::read_to_string(folder.witness("request")).unwrap();
    let mut lines = sent.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(
        lines.next().unwrap(),
        json!({"protocol": 1, "request": "run_step", "step": "x", "node": node, "ports": [], "args": {"speed": 3}})
    );
    assert_eq!(lines.next().unwrap(), json!({"protocol": 1, "request": "cancel"}));
    assert_eq!(std::fs::read_to_string(folder.witness("step")).unwrap(), "x\n");
}

#[test]
fn answers_that_are_none() {
    for (answer, expected) in [
        (json!({"message": "result", "step": "y"}), "answered for y when it was asked for x"),
        (json!({"message": "result"}), "missing field `step`"),
        (json!({"message": "result", "step": "x", "proofs": {}}), "invalid type"),
        (json!({"message": "plan", "step": "x", "plan": []}), "answered plan to run_step"),
        (json!({"message": "error", "details": "the card is hot", "retry": true}), "the card is hot"),
    ] {
        let folder = answering(&json!([step("x")]), &answer);
        let error = run(&folder.managers(), "x").unwrap_err();
        let text = error.details();
        assert!(text.contains(expected) && text.contains("hardware manager vendor, run_step x"), "{text}");
        assert_eq!(error.retry(), expected.contains("hot"));
        assert!(!error.disk_touched());
    }
}

#[test]
fn lists_of_steps_that_are_none() {
    for (steps, expected) in [
        (json!([step("x"), step("x")]), "the step x is there twice"),
        (json!([step("")]), "step \"\""),
        (json!([step("a/b")]), "step \"a/b\""),
        (json!([{"step": "x", "interface": "deploy"}]), "missing field `destructive`"),
        (json!([step_with("x", &json!({"clean": "first"}))]), "invalid type"),
        (json!([step_with("x", &json!({"timeout_seconds": -1}))]), "invalid value"),
        (json!((0..300).map(|n| step(&format!("s{n}"))).collect::<Vec<_>>()), "300 steps"),
    ] {
        let folder = answering(&steps, &json!({}));
        let managers = folder.managers();
        let error = managers.steps(StepFamily::Clean, &json!({}), &json!([])).unwrap_err();
        assert!(error.details().contains(expected), "{}", error.details());
        assert_eq!(run(&managers, "x").unwrap_err(), error);
    }
}

#[test]
fn success_that_has_to_be_proven() {
    let destructive = json!([step_with("x", &json!({"destructive": true})), step("erase_card")]);
    for (answer, expected) in [
        (json!({"message": "result", "step": "x"}), "no proof for any device"),
        (json!({"message": "result", "step": "x", "proofs": [proof(&json!([]))]}), "nothing was verified"),
        (json!({"message": "result", "step": "x", "proofs": [proof(&json!([" "]))]}), "nothing was verified"),
        (json!({"message": "result", "step": "x", "proofs": [{"device": "/dev/sda"}]}), "missing field"),
    ] {
        let error = run(&answering(&destructive, &answer).managers(), "x").unwrap_err();
        assert!(error.details().contains(expected), "{}", error.details());
        assert!(error.disk_touched());
    }
    // What is called erasing has to prove it, whatever it says.
    let answer = json!({"message": "result", "step": "erase_card"});
    assert!(details(run(&answering(&destructive, &answer).managers(), "erase_card")).contains("no proof"));

    let mut told = proof(&json!(["read back"]));
    told["claimed_by"] = json!("the agent");
    let answer = json!({"message": "result", "step": "x", "result": {"n": 1}, "proofs": [told]});
    let observer = Observer::default();
    let folder = answering(&destructive, &answer);
    let outcome = run_as(&folder.managers(), "x", &json!({}), &json!({}), &observer).unwrap();
    assert_eq!(outcome.result["n"], 1);
    let proofs: Vec<Proof> = serde_json::from_value(outcome.result["proofs"].clone()).unwrap();
    assert_eq!((proofs[0].result, proofs[0].claimed_by.as_deref()), (ProofResult::Proven, Some("vendor")));
    // Whoever keeps a journal has heard of it before it began.
    assert_eq!(*observer.announced.lock().unwrap(), [0]);
}

#[test]
fn a_step_that_only_looks_is_no_entry_in_a_journal() {
    let folder = Folder::new();
    let progress = json!({"message": "progress", "stage": "s", "device": "/dev/sda", "done": 1, "total": 2});
    let result = json!({"message": "result", "step": "x"});
    folder.manager(&json!([step("x")]), &format!("run_step) echo '{progress}'; echo '{result}';;"));
    let observer = Observer::default();
    run_as(&folder.managers(), "x", &json!({}), &json!({}), &observer).unwrap();
    assert_eq!((observer.seen.lock().unwrap().len(), observer.announced.lock().unwrap().len()), (1, 0));
}

/// A manager of ours that erases.
struct BuiltIn;

impl HardwareManager for BuiltIn {
    fn name(&self) -> &str {
        "built_in"
    }
    fn class(&self) -> &str {
        "BuiltIn"
    }
    fn version(&self) -> &str {
        "1"
    }
    fn evaluate_hardware_support(&self) -> SupportLevel {
        SupportLevel::Generic
    }
    fn clean_steps(&self) -> Vec<tacit_model::Step> {
        ["erase_devices", "other"]
            .map(|step| {
                serde_json::from_value(json!({"interface": "deploy", "step": step, "priority": 10})).unwrap()
            })
            .into()
    }
    fn deploy_steps(&self) -> Vec<tacit_model::Step> {
        Vec::new()
    }
    fn run_step(&self, step: &str, context: &StepContext<'_>) -> Result<Value, StepError> {
        if !context.dry_run()? {
            return Ok(json!(step));
        }
        Ok(json!({"plan": [{"device": "/dev/sda", "serial": null, "model": null, "verdict": "erase",
            "reasons": [], "methods": []}]}))
    }
}

#[test]
fn an_erase_step_is_not_replaced_unless_the_node_says_so() {
    let folder = Folder::new();
    let erased =
        json!({"message": "result", "step": "erase_devices", "proofs": [proof(&json!(["read back"]))]});
    let other = json!({"message": "result", "step": "other", "result": "vendor"});
    folder.manager(
        &json!([step("erase_devices"), step("other"), step("erase_devices_express")]),
        &format!("run_step) if [ $2 = other ]; then echo '{other}'; else echo '{erased}'; fi;;"),
    );
    let managers = Managers::with_external(vec![Arc::new(BuiltIn)], folder.path());
    let listed = |node: &Value, class: &str| -> Vec<String> {
        let steps = managers.steps(StepFamily::Clean, node, &json!([])).unwrap();
        steps[class].iter().map(|step| step.step.clone()).collect()
    };
    let observer = Observer::default();
    let run = |node: &Value, step: &str| run_as(&managers, step, node, &json!({}), &observer);

    for node in [
        json!({}),
        json!({"driver_info": {"agent_hardware_managers_may_erase": ["vendor2", "VENDOR"]}}),
        json!({"driver_info": {"agent_hardware_managers_may_erase": "vendor"}}),
        json!({"driver_info": {"agent_hardware_managers_may_erase": true}}),
        json!({"properties": {"agent_hardware_managers_may_erase": ["vendor"]}}),
    ] {
        assert_eq!(listed(&node, "BuiltIn"), ["erase_devices"]);
        assert_eq!(listed(&node, "vendor"), ["other"]);
        assert_eq!(run(&node, "erase_devices").unwrap().manager, "built_in");
        assert_eq!(run(&node, "other").unwrap().manager, "vendor");
    }
    let node = json!({"driver_info": {"agent_hardware_managers_may_erase": ["vendor"]}});
    assert_eq!(listed(&node, "vendor"), ["erase_devices", "other", "erase_devices_express"]);
    assert_eq!(listed(&node, "BuiltIn"), Vec::<String>::new());
    let outcome = run(&node, "erase_devices").unwrap();
    assert_eq!(
        (outcome.manager.as_str(), &outcome.result["proofs"][0]["claimed_by"]),
        ("vendor", &json!("vendor"))
    );
}

#[test]
fn who_lists_a_step_runs_it_and_nobody_else() {
    let folder = answering(&json!([step("other")]), &json!({"message": "unsupported"}));
    let managers = Managers::with_external(vec![Arc::new(BuiltIn)], folder.path());
    assert!(matches!(run(&managers, "other"), Err(StepError::NoManager { .. })));
    // What nobody lists, only the agent itself may have.
    assert_eq!(run(&managers, "more").unwrap().manager, "built_in");
    let done = json!({"message": "result", "step": "x"});
    let folder =
        answering(&json!([{"step": "x", "interface": "deploy", "service": 0, "destructive": false}]), &done);
    assert!(matches!(run(&folder.managers(), "x"), Err(StepError::NoManager { .. })));
}

#[test]
fn a_dry_run_is_another_request() {
    let folder = Folder::new();
    let plan = json!({"device": "/dev/sda", "serial": null, "model": null, "verdict": "erase",
        "reasons": ["it is ours"], "methods": []});
    let steps = json!([step_with("x", &json!({"destructive": true})), step("y")]);
    let answer = json!({"message": "plan", "step": "x", "plan": [plan]});
    folder.manager(
        &steps,
        &format!("plan_step) [ $2 = x ] && echo '{answer}' || echo '{{\"message\":\"unsupported\"}}';;\nrun_step) echo >\"$W/run\";;"),
    );
    let managers = Managers::with_external(vec![Arc::new(BuiltIn)], folder.path());
    let observer = Observer::default();
    let dry =
        |step: &str, dry: &Value| run_as(&managers, step, &json!({}), &json!({"dry_run": dry}), &observer);
    assert_eq!(dry("x", &json!(true)).unwrap().result, json!({"plan": [plan]}));
    let error = dry("y", &json!(true)).unwrap_err();
    assert_eq!((error.class(), error.code()), ("InvalidCommandParamsError", 400));
    assert!(error.details().contains("cannot tell what y would do"), "{}", error.details());
    assert_eq!(dry("x", &json!("yes")).unwrap_err().code(), 400);
    assert!(!folder.witness("run").exists());
    assert_eq!(observer.count.load(Ordering::Relaxed), 0);
}

#[test]
fn much_progress_is_no_harm() {
    let folder = Folder::new();
    let progress = r#"{"message":"progress","stage":"s","done":1,"total":2}"#;
    let long = "x".repeat(1000);
    let done = json!({"message": "result", "step": "x"});
    folder.manager(
        &json!([step("x")]),
        &format!(
            "run_step) yes '{progress}' | head -n 20000; \
             echo '{{\"message\":\"progress\",\"stage\":\"é{long}\",\"done\":1,\"total\":2}}'; echo '{done}';;"
        ),
    );
    let observer = Observer::default();
    run_as(&folder.managers(), "x", &json!({}), &json!({}), &observer).unwrap();
    assert_eq!(observer.count.load(Ordering::Relaxed), 20001);
}
