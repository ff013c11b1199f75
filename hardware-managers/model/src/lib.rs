//! What a machine and a step are: inventory, disks, steps, plans and proofs, as data; and the placeholders in their URLs.
//!
//! Owns the shapes that hardware managers produce and that travel to the conductor. Does no I/O and knows no
//! protocol: everything here is plain serde.

mod inventory;
mod proof;
mod step;
mod template;

pub use inventory::{
    Accelerator, BlockDevice, Bond, BootInfo, Cpu, Firmware, Inventory, Memory, NetworkInterface, PciLink,
    SystemVendorInfo, Tpm, Vlan,
};
pub use proof::{DevicePlan, EraseStandard, PlanVerdict, PlannedMethod, Proof, ProofResult};
pub use step::{ArgInfo, ProgressUnit, Step};
pub use template::expand;
