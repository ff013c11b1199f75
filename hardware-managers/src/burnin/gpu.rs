//! `burnin_gpu`: the one burn-in that needs a program, gpu_burn, of which the ramdisk's maker says where it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::run::{failed, report};
use super::settings::Settings;
use crate::machine::Machine;
use crate::managers::{StepContext, StepError, StepSpecification};
use crate::program::{self, ProgramError};

pub(crate) const GPU: &str = "burnin_gpu";

pub(super) const STEP: StepSpecification = StepSpecification {
    name: GPU,
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

/// Where gpu_burn is, unless the node says otherwise.
const FOLDER: &str = "/opt/gpu-burn";
const PROGRAM: &str = "gpu_burn";
/// PCI vendor of the adapters that it burns: it is written in CUDA.
const VENDOR: &str = "0x10de";
/// PCI base class of display controllers.
const DISPLAY: &str = "03";

/// Whether there is something to burn, and something to burn it with.
pub(crate) fn can_burn_gpus(machine: &Machine, node: &Value) -> bool {
    let folder = Settings::of(node).text("gpu_install_dir").ok().flatten().unwrap_or(FOLDER);
    Path::new(folder).join(PROGRAM).is_file() && has_adapter(machine)
}

fn has_adapter(machine: &Machine) -> bool {
    let accelerators = machine.accelerators();
    accelerators.iter().any(|found| found.vendor == VENDOR && found.class.starts_with(DISPLAY))
}

fn burnin_gpu(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let settings = Settings::of(context.node);
    let folder = PathBuf::from(settings.text("gpu_install_dir")?.unwrap_or(FOLDER));
    let duration = settings.seconds("gpu_timeout", 86_400)?;
    let memory = match settings.value("gpu_memory") {
        Value::Number(number) => number.to_string(),
        _ => settings.text("gpu_memory")?.unwrap_or("95%").to_owned(),
    };
    let count = settings.number("gpu_count", 0)?;
    let file = settings.output_file("gpu_outputfile")?;
    let outcome = if has_adapter(machine) {
        burn(context, &folder, &memory, count, duration)
    } else {
        Err(failed("this machine has no NVIDIA adapter".to_owned()))
    };
    report(GPU, file.as_deref(), outcome)
}

fn burn(
    context: &StepContext<'_>,
    folder: &Path,
    memory: &str,
    count: u64,
    duration: Duration,
) -> Result<Value, StepError> {
    let path = folder.join(PROGRAM);
    if !path.is_file() {
        return Err(failed(format!("this ramdisk has no {}", path.display())));
    }
    let path = path.to_string_lossy().into_owned();
    let cancelled = || context.observer.cancelled();
    let run = |arguments: &[OsString], deadline| {
        program::run(&path, arguments, Some(folder), deadline, &cancelled).map_err(|error| match error {
            ProgramError::Cancelled { .. } => StepError::Cancelled { done: 0, total: 1 },
            error => failed(crate::chain::chain(&error)),
        })
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
    let tested = judge(&output).map_err(failed)?;
    if count > 0 && tested as u64 != count {
        return Err(failed(format!("{tested} adapters were tested, not {count}")));
    }
    Ok(json!({"result": "passed", "seconds": duration.as_secs(), "adapters": tested}))
}

/// Number of adapters that the program has tested and found well. Its exit status says neither.
fn judge(output: &str) -> Result<usize, String> {
    // Before that it names the adapters in the same form.
    let summary = output.rsplit_once("Tested ").map_or("", |(_, summary)| summary);
    let verdicts: Vec<(&str, &str)> = summary
        .lines()
        .filter_map(|line| line.trim().split_once(": "))
        .filter(|(name, _)| name.strip_prefix("GPU ").is_some_and(|number| number.parse::<u32>().is_ok()))
        .collect();
    let faulty: Vec<&str> =
        verdicts.iter().filter(|(_, word)| word.trim() != "OK").map(|(name, _)| *name).collect();
    if !faulty.is_empty() {
        return Err(format!("gpu_burn says that these are faulty: {}", faulty.join(", ")));
    }
    if verdicts.is_empty() {
        return Err("gpu_burn ended and says of no adapter that it is well".to_owned());
    }
    Ok(verdicts.len())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::Map;

    use super::*;
    use crate::machine::Roots;
    use crate::managers::{GenericHardwareManager, HardwareManager as _, Silent, StepFamily};

    /// A machine with one display adapter of this maker, and gpu_burn that prints this.
    fn machine(vendor: &str, printed: &str) -> (tempfile::TempDir, Machine, Value) {
        let top = tempfile::tempdir().unwrap();
        let roots = Roots::below(top.path());
        let function = roots.sys.join("bus/pci/devices/0000:17:00.0");
        fs::create_dir_all(&function).unwrap();
        for (name, value) in [("vendor", vendor), ("device", "0x2330"), ("class", "0x030200")] {
            fs::write(function.join(name), value).unwrap();
        }
        let program = top.path().join(PROGRAM);
        fs::write(&program, format!("#!/bin/sh\nprintf '{printed}'\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let node = json!({"driver_info": {"agent_burnin_gpu_install_dir": top.path(), "agent_burnin_gpu_timeout": 1}});
        (top, Machine::new(roots, None), node)
    }

    fn is_offered(machine: &Machine, node: &Value) -> bool {
        let steps = GenericHardwareManager::new(machine.clone()).steps(StepFamily::Clean, node, &json!([]));
        steps.unwrap().iter().any(|step| step.step == GPU)
    }

    fn outcome(machine: &Machine, node: &Value) -> Result<Value, StepError> {
        let args = Map::new();
        burnin_gpu(machine, &StepContext { node, ports: &json!([]), args: &args, observer: &Silent })
    }

    #[test]
    fn it_is_offered_where_there_is_an_adapter_and_the_program() {
        let (top, machine, node) = machine("0x10de", "Tested 1 GPUs:\\n\\tGPU 0: OK\\n");
        assert!(is_offered(&machine, &node) && !is_offered(&machine, &json!({})));
        assert_eq!(outcome(&machine, &node).unwrap()["adapters"], 1);
        fs::remove_file(top.path().join(PROGRAM)).unwrap();
        assert!(!is_offered(&machine, &node));
        assert!(outcome(&machine, &node).unwrap_err().details().contains("has no "));

        let (_top, machine, node) = self::machine("0x1a03", "Tested 1 GPUs:\\n\\tGPU 0: OK\\n");
        assert!(!is_offered(&machine, &node));
        assert!(outcome(&machine, &node).unwrap_err().details().contains("no NVIDIA adapter"));
    }

    #[test]
    fn only_adapters_that_are_called_well_pass() {
        let names = "GPU 0: NVIDIA H100 (UUID: GPU-1)\nGPU 1: NVIDIA H100 (UUID: GPU-2)\n";
        assert_eq!(judge(&format!("{names}Tested 2 GPUs:\n\tGPU 0: OK\n\tGPU 1: OK\n")), Ok(2));
        for (output, expected) in [
            ("Tested 2 GPUs:\n\tGPU 0: OK\n\tGPU 1: FAULTY\n", "GPU 1"),
            ("", "of no adapter"),
            (names, "of no adapter"),
            ("No clients are alive!  Aborting\n", "of no adapter"),
        ] {
            assert!(judge(output).unwrap_err().contains(expected), "{output}");
        }
    }
}
