//! What a simulated NVMe controller is like, and what is wrong with it.

use super::tcg::SimulatedTcg;

/// What the controller says of itself. By default it can do everything, at once and well.
#[derive(Clone, Debug)]
pub struct NvmeIdentity {
    pub serial: String,
    pub model: String,
    /// OACS: 1 is security, 2 format, 4 firmware, 8 namespaces.
    pub optional_admin: u16,
    /// SANICAP: 1 is crypto erase, 2 block erase, 4 overwrite.
    pub sanitize: u32,
    /// FNA: 3 reaches all namespaces, 4 is crypto erase.
    pub format: u8,
    /// FRMW: 1 is a read-only first slot, then the number of slots, 0x10 activation without a reset.
    pub firmware_updates: u8,
    /// FWUG, in 4 KiB.
    pub firmware_granularity: u8,
    /// MDTS, as the exponent to 4 KiB.
    pub largest_transfer: u8,
    /// All namespaces; the first is the one that this drive is.
    pub namespaces: Vec<u32>,
    /// Blocks that the namespace has and the kernel does not see.
    pub unseen_blocks: u64,
    pub metadata_bytes: u16,
    /// Keys that other hosts have registered; `None` where no other host can reach the namespace.
    pub keys: Option<Vec<u64>>,
    /// DPS.
    pub protection: u8,
    /// Estimated seconds for overwrite, block erase and crypto erase.
    pub estimates: [u32; 3],
    pub tcg: Option<SimulatedTcg>,
}

impl Default for NvmeIdentity {
    fn default() -> Self {
        Self {
            serial: "SIM0001".to_owned(),
            model: "Simulated NVMe".to_owned(),
            optional_admin: 0x06,
            sanitize: 7,
            format: 4,
            firmware_updates: 3 << 1 | 0x10,
            firmware_granularity: 1,
            largest_transfer: 5,
            namespaces: vec![1],
            unseen_blocks: 0,
            metadata_bytes: 0,
            keys: None,
            protection: 0,
            estimates: [1600, 20, 2],
            tcg: None,
        }
    }
}

/// The health log.
#[derive(Clone, Debug)]
pub struct NvmeHealth {
    pub critical_warning: u8,
    pub spare_percent: u8,
    pub spare_threshold: u8,
    pub percentage_used: u8,
    pub media_errors: u128,
}

impl Default for NvmeHealth {
    fn default() -> Self {
        Self {
            critical_warning: 0,
            spare_percent: 100,
            spare_threshold: 10,
            percentage_used: 3,
            media_errors: 0,
        }
    }
}

/// What is wrong with the drive. Places are parts of 65536 of a sanitize operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NvmeFault {
    #[default]
    None,
    /// Sanitize stops there and the drive goes into failure mode.
    SanitizeFails(u16),
    /// Sanitize never gets further.
    SanitizeHangs(u16),
    /// The controller is reset there: for a minute nothing has an answer, and the drive goes on.
    Resets(u16),
    /// The drive is gone from there on.
    Vanishes(u16),
    /// The answer to a sanitize command is lost, although it was carried out.
    AnswerLost,
    /// The same, by a reset instead of silence.
    AnswerCut,
    /// A sanitize command is taken, and nothing happens.
    Ignores,
    /// A format command has no answer.
    FormatHangs,
    /// A format leaves 4 KiB blocks behind, whatever it was asked.
    FormatChangesBlocks,
    /// A sanitize operation can only be ended by the media verification state.
    StopsForVerification,
    /// Committed firmware is only active after a reset, whatever the drive promised.
    ActivationNeedsReset,
    /// Firmware is taken and put nowhere.
    FirmwareLost,
}
