//! Drives that exist in memory only, and misbehave on demand: they freeze, lie, fail half-way, hang or vanish. Their
//! time is virtual: a command that takes two hours takes none.

mod answer;
mod ata;
mod ata_identify;
mod ata_traits;
mod ata_translation;
mod clock;
mod content;
mod nvme;
mod nvme_firmware;
mod nvme_pages;
mod nvme_traits;
mod operation;
mod scsi;
mod scsi_answers;
mod scsi_traits;
mod tcg;

pub use ata::SimulatedAta;
pub use ata_traits::AtaTraits;
pub use clock::SimulatedClock;
pub use content::Content;
pub use nvme::SimulatedNvme;
pub use nvme_firmware::FIRMWARE_MAGIC;
pub use nvme_traits::{NvmeFault, NvmeHealth, NvmeIdentity};
pub use operation::Misbehaviour;
pub use scsi::SimulatedScsi;
pub use scsi_traits::ScsiTraits;
pub use tcg::SimulatedTcg;
