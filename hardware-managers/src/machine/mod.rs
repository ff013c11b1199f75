//! Readers of what the kernel and the firmware tell about the machine.

mod accelerators;
mod asked;
mod ata_page;
mod bmc;
mod by_path;
mod collectors;
mod cpu;
mod disk_ids;
mod disks;
mod dmi;
mod eligibility;
mod firmware;
#[cfg(any(test, feature = "fuzzing"))]
mod fuzz;
mod identity;
mod infiniband;
mod inspection;
mod interfaces;
mod inventory;
mod lldp;
mod numa;
mod patience;
mod pci;
mod roots;
mod shown;
mod smbios;
mod trust;
mod usb;
mod view;
mod virtual_media;
mod volumes;

pub(crate) use by_path::{ata_compatible, virtio_compatible};
pub use collectors::{Collector, CollectorError, LLDP_PATIENCE, UnknownCollector};
pub(crate) use disk_ids::transport;
pub(crate) use disks::in_lsblk_order;
pub(crate) use eligibility::MINIMUM_BYTES;
#[cfg(any(test, feature = "fuzzing"))]
pub use fuzz::smbios as fuzz_smbios;
pub use identity::Identity;
pub(crate) use infiniband::infiniband_identity;
pub use inspection::Inspection;
pub use roots::Roots;
pub(crate) use roots::{names_in, read_flag, read_number, read_text};
pub use view::Machine;
pub(crate) use virtual_media::is_virtual_medium;
