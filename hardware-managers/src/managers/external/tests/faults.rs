//! What a program can do wrong before it is a manager, and in any answer.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::load::load_with;
use super::{Folder, Patience, is_gone, patient, run, step};

const DESCRIPTION: &str = r#"{"message":"description","protocol":1,"name":"vendor","version":"2"}"#;
const SUPPORT: &str = r#"{"message":"support","level":2}"#;

/// Why the one program of the folder is no manager.
fn reason(folder: &Folder) -> String {
    reason_within(folder, patient())
}

fn reason_within(folder: &Folder, patience: Patience) -> String {
    let (found, mut broken) = load_with(&folder.path(), &[], patience);
    assert!(found.is_empty());
    assert_eq!((broken.len(), broken[0].name.as_str()), (1, "vendor"));
    broken.remove(0).reason
}

/// The same for a script.
fn reason_of(body: &str) -> String {
    let folder = Folder::new();
    folder.script("vendor", body);
    reason(&folder)
}

#[track_caller]
fn assert_has(text: &str, expected: &str) {
    assert!(text.contains(expected), "{text:?} has no {expected:?}");
}

fn peak_memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_folder_that_is_not_there_holds_none() {
    let folder = Folder::new();
    let (found, broken) = load_with(&folder.path().join("none"), &[], patient());
    assert!(found.is_empty() && broken.is_empty());
}

#[test]
fn a_good_program_is_a_manager_and_what_is_beside_it_is_not() {
    let folder = Folder::new();
    folder.manager(&json!([]), "");
    folder.file(".notes", "not a program", 0o644);
    std::fs::create_dir(folder.path().join("firmware")).unwrap();
    let (found, broken) = load_with(&folder.path(), &[], patient());
    assert_eq!(broken, []);
    assert_eq!((found[0].1.name(), found[0].1.version(), found[0].1.is_built_in()), ("vendor", "2", false));
    assert_eq!(found.len(), 1);
}

#[test]
fn programs_that_cannot_be_started() {
    let folder = Folder::new();
    folder.file("vendor", "#!/no/such/interpreter\n", 0o755);
    assert_has(&reason(&folder), "cannot be started: No such file");
    folder.file("vendor", "#!/bin/sh\n", 0o644);
    assert_has(&reason(&folder), "is not executable");
    folder.file("vendor", "#!/bin/sh\n", 0o777);
    assert_has(&reason(&folder), "may be written by others than root");
}

#[test]
fn programs_that_end_too_soon() {
    assert_has(&reason_of("exit 3"), "it ended with exit status: 3");
    assert_has(&reason_of("exit 0"), "it ended without an answer");
    assert_has(&reason_of("kill -9 $$"), "it ended with signal: 9");
    assert_has(&reason_of("printf '{\"message\":\"descr'; kill -9 $$"), "it ended with signal: 9");
    assert_has(&reason_of(&format!("echo '{DESCRIPTION}'; exit 1")), "it ended with exit status: 1");
    assert_has(&reason_of(&format!("printf '%s' '{DESCRIPTION}'")), "ends in the middle of a line");
}

#[test]
fn programs_that_do_not_end() {
    let folder = Folder::new();
    let impatient = Patience { questions: Duration::from_secs(2), ..patient() };
    for body in [
        "sleep 600".to_owned(),
        // It does not end after its answer.
        format!("echo '{DESCRIPTION}'; sleep 600"),
        "trap '' TERM HUP INT; sleep 600 & wait; sleep 600".to_owned(),
    ] {
        folder.script("vendor", &format!("echo $$ >\"$W/pid\"\n{body}"));
        let begun = Instant::now();
        assert_has(&reason_within(&folder, impatient), "it did not end within");
        assert!(begun.elapsed() < Duration::from_secs(60), "{body}");
        assert!(is_gone(&folder.witness("pid")), "{body}");
    }
}

#[test]
fn what_it_started_ends_with_it() {
    let folder = Folder::new();
    // One holds the pipe, one has left the session, one has neither a session nor an environment in common with it.
    let body = format!(
        "if [ $1 = describe ]; then\n\
         sleep 600 & echo $! >\"$W/a\"\n\
         setsid sh -c 'echo $$ >\"$0/b\"; exec sleep 600' \"$W\" &\n\
         env -i sh -c 'echo $$ >\"$0/c\"; exec sleep 600' \"$W\" >/dev/null 2>&1 </dev/null &\n\
         while ! [ -s \"$W/b\" ] || ! [ -s \"$W/c\" ]; do sleep 0.01; done\n\
         echo '{DESCRIPTION}'; else echo '{SUPPORT}'; fi"
    );
    folder.script("vendor", &body);
    let (found, broken) = load_with(&folder.path(), &[], super::Patience::default());
    assert_eq!((found.len(), broken), (1, vec![]));
    for file in ["a", "b", "c"] {
        assert!(is_gone(&folder.witness(file)), "{file}");
    }
}

#[test]
fn garbage() {
    for (output, expected) in [
        ("hello", "no message: a JSON object is expected"),
        ("[\"support\", 2]", "no message: a JSON object is expected"),
        ("{", "no message: EOF"),
        ("{}", "missing field `message`"),
        ("{\"message\":\"hello\"}", "unknown variant `hello`"),
        ("{\"message\":\"support\",\"level\":2}", "answered support to describe"),
        ("{\"message\":\"unsupported\"}", "it does not have that"),
        ("{\"message\":\"error\",\"details\":\"no licence\"}", "no licence"),
        ("{\"message\":\"description\",\"protocol\":1,\"name\":\"v\"}", "missing field `version`"),
        ("{\"message\":\"description\",\"protocol\":1,\"name\":7,\"version\":\"1\"}", "invalid type"),
        (
            "{\"message\":\"description\",\"protocol\":2,\"name\":\"v\",\"version\":\"1\"}",
            "version 2 of the protocol",
        ),
        ("{\"message\":\"description\",\"protocol\":1,\"name\":\"v w\",\"version\":\"1\"}", "name \"v w\""),
        ("{\"message\":\"description\",\"protocol\":1,\"name\":\"\",\"version\":\"1\"}", "name \"\""),
        (
            "{\"message\":\"description\",\"protocol\":1,\"name\":\"v\",\"version\":\"1\",\"filter\":[]}",
            "unknown field `filter`",
        ),
    ] {
        assert_has(&reason_of(&format!("echo '{output}'")), expected);
    }
    assert_has(&reason_of("printf '\\033[2J\\000\\377\\n'"), "no message: a JSON object");
    assert!(!reason_of("printf '\\033[2J\\n'").contains('\u{1b}'));
    // Deeper than any parser should follow.
    assert_has(
        &reason_of(
            "printf '{\"message\":\"inventory\",\"value\":'; head -c 100000 /dev/zero | tr '\\0' '['; echo",
        ),
        "recursion limit",
    );
    assert_has(
        &reason_of(&format!("echo '{DESCRIPTION}'; echo '{DESCRIPTION}'")),
        "went on after its answer",
    );
    let evaluates = |answer: &str| {
        reason_of(&format!("if [ $1 = describe ]; then echo '{DESCRIPTION}'; else echo '{answer}'; fi"))
    };
    assert_has(&evaluates("{\"message\":\"support\",\"level\":\"two\"}"), "invalid type");
    assert_has(&evaluates("{\"message\":\"support\",\"level\":-1}"), "invalid value");
    assert_has(&evaluates("{\"message\":\"support\",\"level\":2.5}"), "invalid type");
}

#[test]
fn a_gigabyte_does_not_grow_us() {
    let before = peak_memory_kib();
    let begun = Instant::now();
    assert_has(&reason_of("exec head -c 1073741824 /dev/zero"), "a line of more than 1048576 bytes");
    assert_has(&reason_of("exec yes"), "no message");
    let folder = Folder::new();
    let progress = r#"{"message":"progress","stage":"s","done":1,"total":2}"#;
    folder.script("vendor", &format!("exec yes '{progress}'"));
    let (_, broken) = load_with(&folder.path(), &[], patient());
    assert_has(&broken[0].reason, "it wrote too much");
    // Standard error is read and thrown away, whatever its length.
    folder.script(
        "vendor",
        &format!(
            "if [ $1 = describe ]; then head -c 1073741824 /dev/zero >&2; echo '{DESCRIPTION}'; \
             else echo '{SUPPORT}'; fi"
        ),
    );
    let (found, broken) = load_with(&folder.path(), &[], patient());
    assert_eq!((found.len(), broken), (1, vec![]));
    assert!(peak_memory_kib() - before < 64 << 10, "{before} KiB, then {}", peak_memory_kib());
    assert!(begun.elapsed() < Duration::from_secs(120));
}

#[test]
fn two_of_one_name_and_one_of_ours() {
    let folder = Folder::new();
    folder.manager(&json!([]), "");
    std::fs::rename(folder.path().join("vendor"), folder.path().join("10-first")).unwrap();
    folder.manager(&json!([]), "");
    let (found, broken) = load_with(&folder.path(), &[], patient());
    assert_eq!((found.len(), broken.len(), broken[0].name.as_str()), (1, 1, "vendor"));
    assert_has(&broken[0].reason, "there is another hardware manager named vendor");
    let (found, broken) = load_with(&folder.path(), &["vendor"], patient());
    assert_eq!((found.len(), broken.len()), (0, 2));
}

#[test]
fn nothing_runs_while_a_manager_is_broken_unless_the_node_does_without_it() {
    let folder = Folder::new();
    let done = json!({"message": "result", "step": "x", "result": {"n": 1}});
    folder.manager(&json!([step("x")]), &format!("run_step) echo '{done}';;"));
    folder.script("broken", "exit 1");
    let managers = folder.managers();
    let error = run(&managers, "x").unwrap_err();
    assert_eq!((error.class(), error.disk_touched()), ("HardwareManagerConfigurationError", false));
    assert_has(&error.details(), "hardware manager broken cannot be used: it ended with exit status: 1");
    let family = super::super::super::StepFamily::Clean;
    assert_eq!(managers.steps(family, &json!({}), &json!([])).unwrap_err(), error);

    let node = json!({"driver_info": {"agent_hardware_managers_ignored": ["broken"]}});
    let observer = super::Observer::default();
    let outcome = super::run_as(&managers, "x", &node, &json!({}), &observer).unwrap();
    assert_eq!((outcome.manager.as_str(), outcome.result), ("vendor", json!({"n": 1})));
    assert!(managers.steps(family, &node, &json!([])).is_ok());
}

#[test]
fn programs_have_nothing_of_ours() {
    let folder = Folder::new();
    let probe = "(env; echo; ls /proc/self/fd; echo; pwd; ulimit -v) >\"$W/probe\"";
    folder.script("vendor", &format!("{probe}\necho '{{\"message\":\"unsupported\"}}'"));
    // Something that an agent may have in its environment.
    reason(&folder);
    let probe = std::fs::read_to_string(folder.witness("probe")).unwrap();
    let (environment, rest) = probe.split_once("\n\n").unwrap();
    let mut names: Vec<&str> = environment.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LC_ALL", "PATH", "TACIT_MANAGER_RUN"]);
    let (files, rest) = rest.split_once("\n\n").unwrap();
    // The last one is the folder that is listed.
    assert_eq!(files.lines().count(), 4, "{files}");
    assert_eq!(rest, "/\n1048576\n");
}

#[test]
fn initialising_that_fails_breaks_a_manager() {
    let folder = Folder::new();
    let description = json!({"message": "description", "protocol": 1, "name": "vendor", "version": "2",
        "initialize": true});
    folder.described(&description, "initialize) echo '{\"message\":\"initialized\"}'; echo >\"$W/done\";;");
    assert_eq!(folder.managers().broken(), []);
    assert!(folder.witness("done").exists());
    folder.described(&description, "initialize) echo '{\"message\":\"error\",\"details\":\"no card\"}';;");
    let managers = folder.managers();
    assert_has(&managers.broken()[0].reason, "no card");
    assert!(managers.versions().is_empty());
}
