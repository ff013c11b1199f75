//! Firmware boot entries for a deployed disk (boot contract §G, IPA contract §8.8).

mod clean;
mod copy;
mod device_path;
mod efivars;
mod entries;
mod error;
mod esp;
mod fat;
mod install;
mod load_option;
mod loader;
mod partitions;
mod replicate;
mod report;

pub(crate) use clean::STEPS;
pub use error::BootEntryError;
pub use fat::read_small_volume;
pub use install::install_boot_entry;
pub use report::{BootEntryOutcome, BootEntryReport, BootEntryRequest, BootOrderPolicy};
