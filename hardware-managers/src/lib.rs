//! What the agent knows of the machine it runs on, and what it does to it: inventory, choice of the root device,
//! metadata wipe, firmware boot entries, and the interface by which hardware managers offer steps.
//!
//! Owns the readers of sysfs, procfs and SMBIOS, the table of on-disk signatures, the [`HardwareManager`] trait and
//! its dispatch. Everything is read and written natively: no outside program is started. It refuses to touch a disk
//! that the allow-list hides, that the skip list names or that carries a cluster file system, and it reports nothing
//! as wiped that it did not read back through a newly opened device. It knows no HTTP, no images and no conductor.

mod boot;
mod burnin;
mod drives;
mod erase;
mod health;
pub mod hints;
mod inject;
mod machine;
mod managers;
mod partitions;
mod raid;
mod wipe;

pub use boot::{
    BootEntryError, BootEntryOutcome, BootEntryReport, BootEntryRequest, BootOrderPolicy, install_boot_entry,
};
#[cfg(any(test, feature = "simulators"))]
#[doc(hidden)]
pub use drives::simulated;
pub use hints::{RootDeviceError, RootDeviceHints, select_root_device};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use machine::fuzz_smbios;
pub use machine::{Identity, Machine, Roots};
pub use managers::{
    DeviceFailure, GenericHardwareManager, HardwareManager, Managers, StepContext, StepError, StepObserver,
    SupportLevel,
};
pub use wipe::SkipList;
