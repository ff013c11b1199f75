use std::str::FromStr;
use std::sync::Weak;

use anyhow::{Result, anyhow};
use serde_json::{Value, json};
use tacit_hardware::{Collector, Machine, Roots};

use super::{Ending, InventoryArguments, output};
use crate::agent::managers;

/// Prints the inventory, or what collectors find, as JSON.
///
/// # Errors
///
/// When the output cannot be written.
pub(crate) fn inventory(arguments: InventoryArguments) -> Result<Ending> {
    let machine = Machine::new(Roots::default(), None);
    let managers = managers(&machine, Weak::new(), arguments.hardware_managers.clone());
    let mut ending = show(&machine, arguments)?;
    for problem in managers.problems() {
        output::note(&problem);
        ending = Ending::Failed;
    }
    Ok(ending)
}

fn show(machine: &Machine, arguments: InventoryArguments) -> Result<Ending> {
    if arguments.collectors.is_empty() {
        output::document(&serde_json::to_value(machine.inventory())?)?;
        return Ok(Ending::Done);
    }
    let mut collectors = Vec::new();
    for name in &arguments.collectors {
        match Collector::from_str(name) {
            Ok(collector) => collectors.push(collector),
            Err(error) => {
                output::note(&error.to_string());
                return Ok(Ending::Usage);
            }
        }
    }
    let mut document = json!({});
    let mut ending = Ending::Done;
    for collector in collectors {
        match machine.collect(collector) {
            Ok(Value::Object(keys)) => {
                for (key, value) in keys {
                    document[key] = value;
                }
            }
            Ok(other) => return Err(anyhow!("collector {collector} gives {other}")),
            Err(problems) => {
                for problem in problems {
                    output::note(&format!("collector {collector}: {problem}"));
                }
                ending = Ending::Failed;
            }
        }
    }
    output::document(&document)?;
    Ok(ending)
}
