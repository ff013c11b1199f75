//! Drives that exist in memory only, and misbehave on demand: they freeze, lie, fail half-way, hang or vanish. Their
//! time is virtual: a command that takes two hours takes none.

mod clock;
mod content;
mod nvme;

pub use clock::SimulatedClock;
pub use content::Content;
pub use nvme::{FIRMWARE_MAGIC, NvmeFault, NvmeHealth, NvmeIdentity, SimulatedNvme};
