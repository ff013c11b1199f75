//! `burnin_gpu`: the one burn-in that needs a program, gpu_burn, of which the ramdisk's maker says where it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::run::{failed, report};
use super::settings::Settings;
use crate::machine::Machine;
use crate::managers::{StepContext, StepError, StepSpecification};
use crate::program;

pub(super) const STEP: StepSpecification = StepSpecification {
    name: "burnin_gpu",
    interface: "deploy",
    clean: Some(0),
    deploy: None,
    service: Some(0),
    abortable: true,
    arguments: &[],
    run: burnin_gpu,
};

/// How much longer than asked for the program may take to begin and to end.
const GRACE: Duration = Duration::from_secs(600);
/// Listing the adapters takes no time to speak of.
const LIST: Duration = Duration::from_secs(120);

fn burnin_gpu(_: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let settings = Settings::of(context.node);
    let folder = PathBuf::from(settings.text("gpu_install_dir")?.unwrap_or("/opt/gpu-burn"));
    let duration = settings.seconds("gpu_timeout", 86_400)?;
    let memory = match settings.value("gpu_memory") {
        Value::Number(number) => number.to_string(),
        _ => settings.text("gpu_memory")?.unwrap_or("95%").to_owned(),
    };
    let count = settings.number("gpu_count", 0)?;
    let file = settings.output_file("gpu_outputfile")?;
    let outcome = burn(context, &folder, &memory, count, duration);
    report("burnin_gpu", file.as_deref(), outcome)
}

fn burn(
    context: &StepContext<'_>,
    folder: &Path,
    memory: &str,
    count: u64,
    duration: Duration,
) -> Result<Value, StepError> {
    let path = folder.join("gpu_burn");
    if !path.is_file() {
        return Err(failed(format!("this ramdisk has no {}", path.display())));
    }
    let path = path.to_string_lossy().into_owned();
    let cancelled = || context.observer.cancelled();
    let run = |arguments: &[OsString], deadline| {
        program::run(&path, arguments, Some(folder), deadline, &cancelled)
            .map_err(|error| failed(crate::chain::chain(&error)))
    };
    if count > 0 {
        let listed = run(&["-l".into()], LIST)?.text;
        let found = listed.lines().filter(|line| line.contains("ID ")).count() as u64;
        if found != count {
            return Err(failed(format!("{found} adapters are there, not {count}")));
        }
    }
    let arguments = ["-m".into(), memory.into(), duration.as_secs().to_string().into()];
    let output = run(&arguments, duration + GRACE)?.text;
    if output.contains("FAULTY") {
        return Err(failed("gpu_burn says that an adapter is faulty".to_owned()));
    }
    Ok(json!({"result": "passed", "seconds": duration.as_secs()}))
}
