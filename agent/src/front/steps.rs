use std::sync::Weak;

use anyhow::{Context, Result};
use serde_json::json;
use tacit_hardware::{Machine, Roots, StepFamily};

use super::{Ending, StepsArguments, output};
use crate::agent::managers;

/// Prints all steps as JSON, by family and hardware manager.
///
/// # Errors
///
/// When a manager cannot say what it offers.
pub(crate) fn steps(arguments: StepsArguments) -> Result<Ending> {
    let machine = Machine::new(Roots::default(), None);
    let managers = managers(&machine, Weak::new(), arguments.hardware_managers);
    let (node, ports) = (json!({}), json!([]));
    let mut document = json!({});
    for (name, family) in
        [("clean", StepFamily::Clean), ("deploy", StepFamily::Deploy), ("service", StepFamily::Service)]
    {
        let steps = managers.steps(family, &node, &ports).with_context(|| format!("no {name} steps"))?;
        document[name] = serde_json::to_value(steps)?;
    }
    document["versions"] = serde_json::to_value(managers.versions())?;
    output::document(&document)?;
    Ok(Ending::Done)
}
