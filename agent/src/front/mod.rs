//! The command line for people at the machine: the same code that steps run, and what it says in words.

mod arguments;
mod ending;
mod erase;
mod interrupt;
mod inventory;
mod output;
mod progress;
mod question;
mod steps;
mod words;

pub(crate) use arguments::{EraseArguments, InventoryArguments, StepsArguments};
pub(crate) use ending::Ending;
pub(crate) use erase::erase;
pub(crate) use inventory::inventory;
pub(crate) use steps::steps;
