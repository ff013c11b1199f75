//! What the agent knows of the machine it runs on, and what it does to it: inventory, choice of the root device,
//! metadata wipe, firmware boot entries, and the interface by which hardware managers offer steps.
//!
//! Owns the readers of sysfs, procfs and SMBIOS, the table of on-disk signatures, the [`HardwareManager`] trait and
//! its dispatch. Everything is read and written natively; the programs that nothing stands in for (mdadm, for one) are
//! started without a shell and watched. It refuses to touch a disk
//! that the allow-list hides, that the skip list names or that carries a cluster file system, and it reports nothing
//! as wiped that it did not read back through a newly opened device. It knows no HTTP, no images and no conductor.

mod ask;
mod boot;
mod burnin;
mod chain;
mod checksum;
mod drives;
mod erase;
mod health;
pub mod hints;
mod inject;
mod machine;
mod managers;
mod partitions;
mod program;
mod raid;
mod strays;
mod wipe;

pub use boot::{
    BootEntryError, BootEntryOutcome, BootEntryReport, BootEntryRequest, BootOrderPolicy, install_boot_entry,
    read_small_volume,
};
#[cfg(any(test, feature = "simulators"))]
#[doc(hidden)]
pub use drives::simulated;
pub use hints::{
    AmbiguityPolicy, RootChoice, RootDeviceError, RootDeviceHints, select_root_device,
    select_root_device_with,
};
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub use machine::fuzz_smbios;
pub use machine::{
    Collector, CollectorError, Identity, Inspection, LLDP_PATIENCE, Machine, Roots, UnknownCollector,
};
pub use managers::{
    BrokenManager, DeviceAnswer, DeviceFailure, DeviceKind, GenericHardwareManager, HardwareManager,
    IntelCnaHardwareManager, InventoryPart, Managers, MellanoxDeviceHardwareManager, RemoteFile, Route,
    StepContext, StepError, StepFamily, StepObserver, StepOutcome, SupportLevel,
};
pub use strays::{StraysRemain, end_strays};
pub use wipe::SkipList;
