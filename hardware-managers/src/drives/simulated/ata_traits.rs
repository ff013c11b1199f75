use std::time::Duration;

use super::operation::Misbehaviour;
use super::tcg::SimulatedTcg;

/// What kind of ATA drive is played.
#[derive(Clone, Debug)]
pub struct AtaTraits {
    pub model: String,
    pub serial: String,
    pub firmware: String,
    pub wwn: u64,
    /// 1 for no rotation.
    pub rotation: u16,
    pub security: bool,
    pub enhanced: bool,
    /// Words 89 and 90, in two minutes.
    pub erase_time: u16,
    /// How long SECURITY ERASE UNIT and sanitize really take.
    pub erase_takes: Duration,
    /// After a successful erase the password is still there.
    pub keeps_password: bool,
    pub sanitize_crypto: bool,
    pub sanitize_block: bool,
    pub sanitize_overwrite: bool,
    pub trim: bool,
    pub trim_zeroes: bool,
    /// SMART says that a threshold is exceeded.
    pub failing: bool,
    /// Which the drive shows to everybody, and the adapter of this machine does not reach.
    pub unseen_sectors: u64,
    /// Behind the last address that it shows.
    pub hidden_sectors: u64,
    /// Behind those, by a device configuration overlay.
    pub overlaid_sectors: u64,
    /// The machine has locked the configuration: it is not told.
    pub configuration_locked: bool,
    pub misbehaviour: Misbehaviour,
    /// The kernel lets TRUSTED RECEIVE through (`libata.allow_tpm`).
    pub trusted_allowed: bool,
    /// Registers come back in fixed format sense data, which has no room for all.
    pub fixed_sense: bool,
    /// The translation tells that a command was aborted, and no registers.
    pub terse: bool,
    pub tcg: Option<SimulatedTcg>,
}

impl Default for AtaTraits {
    /// A solid state drive that can do everything, and is well.
    fn default() -> Self {
        Self {
            model: "Simulated ATA drive".to_owned(),
            serial: "SIM0ATA".to_owned(),
            firmware: "FW01".to_owned(),
            wwn: 0x5002_5388_0000_0001,
            rotation: 1,
            security: true,
            enhanced: true,
            erase_time: 1,
            erase_takes: Duration::from_secs(90),
            keeps_password: false,
            sanitize_crypto: true,
            sanitize_block: true,
            sanitize_overwrite: true,
            trim: true,
            trim_zeroes: true,
            failing: false,
            hidden_sectors: 0,
            unseen_sectors: 0,
            overlaid_sectors: 0,
            configuration_locked: false,
            misbehaviour: Misbehaviour::None,
            trusted_allowed: true,
            fixed_sense: false,
            terse: false,
            tcg: None,
        }
    }
}
