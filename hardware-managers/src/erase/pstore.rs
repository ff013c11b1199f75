//! The step `erase_pstore`: what kernels that died left in the firmware's memory (IPA contract §5.2).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tacit_model::{DevicePlan, EraseStandard, PlanVerdict, PlannedMethod, Proof, ProofResult};

use crate::chain::chain;
use crate::machine::Machine;
use crate::managers::{DeviceFailure, StepContext, StepError};

const METHOD: &str = "pstore-delete";

pub(super) fn run(machine: &Machine, context: &StepContext<'_>) -> Result<Value, StepError> {
    let dry_run = context.dry_run()?;
    let found = mount_point(&machine.roots().proc.join("mounts")).and_then(|at| {
        let entries = at.as_deref().map_or(Ok(Vec::new()), entries)?;
        Ok(at.map(|at| (at, entries)))
    });
    let found = found.map_err(|error| failed("pstore", &error, false))?;
    if dry_run {
        return Ok(json!({ "plan": [plan(found.as_ref())] }));
    }
    let Some((at, entries)) = found else {
        let proof = Proof {
            device: "pstore".to_owned(),
            method: METHOD.to_owned(),
            actions: vec!["skipped: no pstore is mounted".to_owned()],
            ..Proof::default()
        };
        return Ok(json!({ "proofs": [proof] }));
    };
    let name = at.display().to_string();
    let proof = delete(&at, &entries).map_err(|error| failed(&name, &error, true))?;
    Ok(json!({ "proofs": [proof] }))
}

fn failed(device: &str, error: &io::Error, touched: bool) -> StepError {
    let reason = chain(error);
    let proof =
        Proof { device: device.to_owned(), method: METHOD.to_owned(), ..Proof::default() }.failed(&reason);
    let failure = DeviceFailure { device: device.to_owned(), reason };
    StepError::Erase { failures: vec![failure], proofs: vec![proof], touched }
}

/// Where a pstore is mounted, by the kernel's list.
fn mount_point(mounts: &Path) -> io::Result<Option<PathBuf>> {
    let list = fs::read_to_string(mounts)?;
    Ok(list.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let at = fields.nth(1)?;
        (fields.next()? == "pstore").then(|| at.replace("\\040", " ").into())
    }))
}

fn entries(at: &Path) -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir(at)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

fn plan(found: Option<&(PathBuf, Vec<String>)>) -> DevicePlan {
    let (device, verdict, reasons) = match found {
        None => ("pstore".to_owned(), PlanVerdict::Skip, vec!["no pstore is mounted".to_owned()]),
        Some((at, entries)) => {
            let list = entries.iter().map(|name| format!("holds {name}")).collect();
            (at.display().to_string(), PlanVerdict::Erase, list)
        }
    };
    let methods = if verdict == PlanVerdict::Skip {
        Vec::new()
    } else {
        vec![PlannedMethod {
            method: METHOD.to_owned(),
            standard: EraseStandard::None,
            estimated_seconds: None,
            reason: "its entries are deleted one by one".to_owned(),
        }]
    };
    DevicePlan { device, serial: None, model: None, verdict, reasons, methods }
}

fn delete(at: &Path, names: &[String]) -> io::Result<Proof> {
    for name in names {
        match fs::remove_file(at.join(name)) {
            // The kernel may reuse a record's place meanwhile.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let left = entries(at)?;
    if !left.is_empty() {
        return Err(io::Error::other(format!("{} are still there", left.join(", "))));
    }
    Ok(Proof {
        device: at.display().to_string(),
        method: METHOD.to_owned(),
        actions: names.iter().map(|name| format!("deleted {name}")).collect(),
        verification: vec!["the folder reads back empty".to_owned()],
        result: ProofResult::Proven,
        ..Proof::default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::machine::Roots;
    use crate::managers::Silent;

    fn erase(root: &Path, args: Value) -> Result<Value, StepError> {
        let machine = Machine::new(Roots::below(root), None);
        let args: Map<String, Value> = args.as_object().unwrap().clone();
        let (node, ports) = (json!({}), json!([]));
        run(&machine, &StepContext { node: &node, ports: &ports, args: &args, observer: &Silent })
    }

    #[test]
    fn records_are_deleted_where_the_kernel_says_and_only_then() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path().join("p store");
        fs::create_dir_all(&at).unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        let mounts = root.path().join("proc/mounts");
        fs::write(&mounts, "sysfs /sys sysfs rw 0 0\n").unwrap();
        let skipped = erase(root.path(), json!({})).unwrap();
        assert_eq!(skipped["proofs"][0]["result"], "skipped");

        let place = at.display().to_string().replace(' ', "\\040");
        fs::write(&mounts, format!("sysfs /sys sysfs rw 0 0\npstore {place} pstore rw 0 0\n")).unwrap();
        fs::write(at.join("dmesg-efi-1"), "panic").unwrap();
        let plan = erase(root.path(), json!({"dry_run": true})).unwrap();
        assert_eq!(plan["plan"][0]["reasons"][0], "holds dmesg-efi-1");
        assert!(at.join("dmesg-efi-1").exists());
        let proof = erase(root.path(), json!({})).unwrap();
        assert_eq!(proof["proofs"][0]["result"], "proven");
        assert_eq!(proof["proofs"][0]["actions"][0], "deleted dmesg-efi-1");
        assert!(!at.join("dmesg-efi-1").exists());

        // What is no record cannot be deleted, and is not passed over.
        fs::create_dir(at.join("folder")).unwrap();
        let error = erase(root.path(), json!({})).unwrap_err();
        assert!(error.details().contains("p store") && error.disk_touched(), "{}", error.details());
    }
}
