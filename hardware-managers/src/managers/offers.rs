//! Which of several steps of one name is taken (IPA contract §4.3), and who may erase.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;
use tacit_model::Step;

use super::loaded::node_names;
use super::manager::{HardwareManager, SupportLevel};

/// Steps that erase every device there is, and whose proofs are the agent's own.
pub(super) const ERASE_STEPS: [&str; 3] =
    ["erase_devices", "erase_devices_metadata", "erase_devices_express"];

/// Key of the node's `driver_info` with names of managers from outside that may take the place of an erase step.
const MAY_ERASE: &str = "agent_hardware_managers_may_erase";

/// Whether this manager's step of that name counts. One from outside never takes the place of an erase step, unless
/// the node names it.
fn may_run(manager: &dyn HardwareManager, step: &str, node: &Value) -> bool {
    manager.is_built_in() || !ERASE_STEPS.contains(&step) || node_names(node, MAY_ERASE, manager.name())
}

/// Each step at the manager of the highest level; among equals at that with the higher priority, then at the first by
/// class name.
pub(super) fn without_duplicates(
    offers: Vec<(SupportLevel, &dyn HardwareManager, Vec<Step>)>,
    node: &Value,
) -> BTreeMap<String, Vec<Step>> {
    type Rank = (SupportLevel, i32, Reverse<String>);
    let mut by_class: BTreeMap<String, Vec<Step>> =
        offers.iter().map(|(_, manager, _)| (manager.class().to_owned(), Vec::new())).collect();
    let mut all: Vec<(Rank, Step)> = Vec::new();
    for (level, manager, steps) in offers {
        for step in steps {
            if may_run(manager, &step.step, node) {
                all.push(((level, step.priority, Reverse(manager.class().to_owned())), step));
            } else {
                tracing::warn!(
                    "hardware manager {} offers {}, which the agent does itself: the node's driver_info does not \
                     list it in {MAY_ERASE}",
                    manager.name(),
                    step.step
                );
            }
        }
    }
    let mut best: BTreeMap<&str, &Rank> = BTreeMap::new();
    for (rank, step) in &all {
        let held = best.entry(&step.step).or_insert(rank);
        if rank > *held {
            *held = rank;
        }
    }
    for (rank, step) in &all {
        let wins = best.get(step.step.as_str()) == Some(&rank);
        if let (true, Some(list)) = (wins, by_class.get_mut(&rank.2.0))
            && !list.iter().any(|known| known.step == step.step)
        {
            list.push(step.clone());
        }
    }
    by_class
}
