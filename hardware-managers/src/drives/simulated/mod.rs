//! Drives that exist in memory only, and misbehave on demand: they freeze, lie, fail half-way, hang or vanish. Their
//! time is virtual: a command that takes two hours takes none.

mod answer;
mod ata;
mod ata_identify;
mod clock;
mod content;
mod nvme;
mod nvme_pages;
mod nvme_traits;
mod operation;
mod scsi;
mod tcg;

pub use ata::{AtaTraits, SimulatedAta};
pub use clock::SimulatedClock;
pub use content::Content;
pub use nvme::{FIRMWARE_MAGIC, SimulatedNvme};
pub use nvme_traits::{NvmeFault, NvmeHealth, NvmeIdentity};
pub use operation::Misbehaviour;
pub use scsi::{ScsiTraits, SimulatedScsi};
pub use tcg::SimulatedTcg;
