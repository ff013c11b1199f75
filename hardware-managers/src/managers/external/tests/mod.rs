//! Programs that do what they should, and programs that do not.

mod devices;
mod examples;
mod faults;
mod schema;
mod steps;
mod stopping;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Map, Value, json};
use tacit_model::ProgressUnit;

use super::super::{Managers, StepContext, StepError, StepFamily, StepObserver, StepOutcome};
use super::manager::Patience;

/// A folder of programs, and another one for what they leave behind.
pub(super) struct Folder {
    top: tempfile::TempDir,
}

impl Folder {
    pub(super) fn new() -> Self {
        let folder = Self { top: tempfile::tempdir().unwrap() };
        fs::create_dir(folder.path()).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        folder
    }

    pub(super) fn path(&self) -> PathBuf {
        self.top.path().join("managers")
    }

    /// A file outside of the folder.
    pub(super) fn witness(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    pub(super) fn file(&self, name: &str, content: &str, mode: u32) {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A shell script; `$W` is where it may leave things behind.
    pub(super) fn script(&self, name: &str, body: &str) {
        let witness = self.top.path().display();
        self.file(name, &format!("#!/bin/sh\nW='{witness}'\n{body}"), 0o755);
    }

    /// A manager `vendor` of level 3 with these steps; `cases` are further branches by request.
    pub(super) fn manager(&self, steps: &Value, cases: &str) {
        let steps = json!({"message": "steps", "steps": steps});
        let description = json!({"message": "description", "protocol": 1, "name": "vendor", "version": "2"});
        self.described(&description, &format!("steps) echo '{steps}';;\n{cases}"));
    }

    pub(super) fn described(&self, description: &Value, cases: &str) {
        let body = format!(
            "case \"$1\" in\ndescribe) echo '{description}';;\n\
             evaluate) echo '{{\"message\":\"support\",\"level\":3}}';;\n{cases}\n\
             *) echo '{{\"message\":\"unsupported\"}}';;\nesac\n"
        );
        self.script("vendor", &body);
    }

    pub(super) fn managers(&self) -> Managers {
        Managers::with_external(Vec::new(), self.path())
    }
}

/// For what ends by itself, on a machine however busy.
pub(super) fn patient() -> Patience {
    let long = Duration::from_secs(60);
    Patience { questions: long, initialize: long, plans: long }
}

pub(super) fn step(name: &str) -> Value {
    json!({"step": name, "interface": "deploy", "clean": 5, "destructive": false})
}

/// With what `more` has.
pub(super) fn step_with(name: &str, more: &Value) -> Value {
    let mut step = step(name);
    for (key, value) in more.as_object().unwrap() {
        step[key] = value.clone();
    }
    step
}

#[derive(Default)]
pub(super) struct Observer {
    pub(super) seen: Mutex<Vec<(String, String, u64, u64)>>,
    pub(super) count: AtomicUsize,
    pub(super) stop: AtomicBool,
    /// Stops at the first progress of this stage.
    pub(super) stop_at: Option<&'static str>,
    /// Number of reports that had come when the step was about to write, a number each time.
    pub(super) announced: Mutex<Vec<usize>>,
}

impl StepObserver for Observer {
    fn progress(&self, stage: &str, device: &str, done: u64, total: u64, _: ProgressUnit) {
        self.count.fetch_add(1, Ordering::Relaxed);
        if self.stop_at == Some(stage) {
            self.stop.store(true, Ordering::Relaxed);
        }
        let mut seen = self.seen.lock().unwrap();
        if seen.len() < 100 {
            seen.push((stage.to_owned(), device.to_owned(), done, total));
        }
    }

    fn cancelled(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn about_to_write(&self) -> Result<(), StepError> {
        self.announced.lock().unwrap().push(self.count.load(Ordering::Relaxed));
        Ok(())
    }
}

pub(super) fn run_as(
    managers: &Managers,
    step: &str,
    node: &Value,
    args: &Value,
    observer: &Observer,
) -> Result<StepOutcome, StepError> {
    let args: Map<String, Value> = args.as_object().unwrap().clone();
    managers.run_step(
        StepFamily::Clean,
        step,
        &StepContext { node, ports: &json!([]), args: &args, observer },
    )
}

pub(super) fn run(managers: &Managers, step: &str) -> Result<StepOutcome, StepError> {
    run_as(managers, step, &json!({}), &json!({}), &Observer::default())
}

/// Whether the process with the number in this file is gone.
pub(super) fn is_gone(pid_file: &Path) -> bool {
    let pid = fs::read_to_string(pid_file).unwrap();
    match fs::read_to_string(format!("/proc/{}/stat", pid.trim())) {
        Err(_) => true,
        // Nobody has waited for it yet; it does nothing any more.
        Ok(stat) => stat.rsplit_once(')').unwrap().1.trim_start().starts_with(['Z', 'X']),
    }
}
