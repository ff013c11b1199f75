//! Readers of what the kernel and the firmware tell about the machine.

mod by_path;
mod cpu;
mod disk_ids;
mod disks;
mod firmware;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod identity;
mod interfaces;
mod roots;
mod smbios;
mod view;

pub(crate) use by_path::ata_compatible;
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::smbios as fuzz_smbios;
pub use identity::Identity;
pub use roots::Roots;
pub(crate) use roots::read_flag;
pub use view::Machine;
