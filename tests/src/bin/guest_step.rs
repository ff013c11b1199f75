//! What the virtual servers of the tests have beside the agent's own command line: steps of the generic hardware
//! manager, each as a conductor would ask for it.
//!
//! `guest-step NAME NODE ARGUMENTS` with two JSON objects, or `guest-step boot-entry DISK`; prints what comes of it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};
use tacit_hardware::{
    BootEntryRequest, GenericHardwareManager, HardwareManager, Machine, Roots, StepContext, StepObserver,
    install_boot_entry,
};
use tacit_protocol::v2::ProgressUnit;

struct Silent;

impl StepObserver for Silent {
    fn progress(&self, _: &str, _: &str, _: u64, _: u64, _: ProgressUnit) {}

    fn cancelled(&self) -> bool {
        false
    }
}

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let machine = Machine::new(Roots::default(), None);
    let outcome = match words[..] {
        ["boot-entry", disk] => install_boot_entry(&machine, Path::new(disk), &BootEntryRequest::default())
            .map(|report| json!(report))
            .map_err(|error| format!("{:#}", anyhow::Error::new(error))),
        [name, node, args] => {
            let (node, ports): (Value, Value) = (serde_json::from_str(node)?, json!([]));
            let args: Map<String, Value> = serde_json::from_str(args)?;
            let context = StepContext { node: &node, ports: &ports, args: &args, observer: &Silent };
            GenericHardwareManager::new(machine).run_step(name, &context).map_err(|error| error.details())
        }
        _ => bail!("guest-step NAME NODE ARGUMENTS, or guest-step boot-entry DISK"),
    };
    match outcome {
        Ok(result) => {
            println!("{result}");
            Ok(ExitCode::SUCCESS)
        }
        Err(details) => {
            println!("{details}");
            Ok(ExitCode::FAILURE)
        }
    }
}
