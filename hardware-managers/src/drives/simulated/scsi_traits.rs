use std::time::Duration;

use super::operation::Misbehaviour;
use super::tcg::SimulatedTcg;

/// What kind of SCSI disk is played.
#[derive(Clone, Debug)]
pub struct ScsiTraits {
    pub vendor: String,
    pub product: String,
    pub revision: String,
    pub serial: String,
    pub naa: u64,
    /// As in VPD page B1h: 1 for no rotation.
    pub rotation: u16,
    /// Blocks that it has grown by since the kernel looked.
    pub unseen_blocks: u64,
    pub unmap: bool,
    /// WRITE SAME (16) unmaps, too.
    pub write_same_unmaps: bool,
    pub reads_zeroes: bool,
    /// Blocks that one UNMAP takes.
    pub unmap_blocks: u32,
    pub sanitize_crypto: bool,
    pub sanitize_block: bool,
    pub sanitize_overwrite: bool,
    /// Takes no operation that could be left after a failure.
    pub no_unrestricted_exit: bool,
    /// How long a sanitize takes.
    pub sanitize_takes: Duration,
    pub misbehaviour: Misbehaviour,
    /// Of other initiators.
    pub keys: Vec<u64>,
    pub holder: Option<u64>,
    /// Code and qualifier of an informational exception.
    pub exception: (u8, u8),
    /// Unit attentions that are told first.
    pub attentions: usize,
    pub tcg: Option<SimulatedTcg>,
}

impl Default for ScsiTraits {
    /// A solid state drive that can do everything, and is well.
    fn default() -> Self {
        Self {
            vendor: "TACIT".to_owned(),
            product: "Simulated disk".to_owned(),
            revision: "0001".to_owned(),
            serial: "SIM0SCSI".to_owned(),
            naa: 0x5000_c500_0000_0001,
            rotation: 1,
            unseen_blocks: 0,
            unmap: true,
            write_same_unmaps: true,
            reads_zeroes: true,
            unmap_blocks: 0x10_0000,
            sanitize_crypto: true,
            sanitize_block: true,
            sanitize_overwrite: true,
            no_unrestricted_exit: false,
            sanitize_takes: Duration::from_secs(120),
            misbehaviour: Misbehaviour::None,
            keys: Vec::new(),
            holder: None,
            exception: (0, 0),
            attentions: 0,
            tcg: None,
        }
    }
}
