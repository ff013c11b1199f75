use tacit_blockdev::Drive;

use super::admin::{log_page, u16_at, u128_at};
use crate::drives::DriveError;

const SMART_HEALTH: u8 = 0x02;

/// What each bit of the critical warning says.
const WARNINGS: [&str; 6] = [
    "available spare is below its threshold",
    "the temperature is beyond a threshold",
    "reliability is degraded",
    "the medium is read-only",
    "the backup of volatile memory failed",
    "persistent memory is read-only or unreliable",
];

/// SMART / Health Information (Base 2.1, 5.1.12.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SmartLog {
    pub(crate) critical_warning: u8,
    /// Kelvin; 0 where the drive has no sensor.
    pub(crate) temperature_kelvin: u16,
    pub(crate) available_spare_percent: u8,
    pub(crate) spare_threshold_percent: u8,
    /// Of the life that the drive was made for; may be more than 100.
    pub(crate) percentage_used: u8,
    pub(crate) power_on_hours: u128,
    pub(crate) unsafe_shutdowns: u128,
    /// Times that the drive could not give back what was written.
    pub(crate) media_errors: u128,
    pub(crate) error_log_entries: u128,
}

impl SmartLog {
    /// # Errors
    ///
    /// [`DriveError::Command`].
    pub(crate) fn read(drive: &dyn Drive) -> Result<Self, DriveError> {
        let data = log_page(drive, SMART_HEALTH, false)
            .map_err(|source| DriveError::Command { command: "reading the health log", source })?;
        Ok(Self {
            critical_warning: data[0],
            temperature_kelvin: u16_at(&data, 1),
            available_spare_percent: data[3],
            spare_threshold_percent: data[4],
            percentage_used: data[5],
            power_on_hours: u128_at(&data, 128),
            unsafe_shutdowns: u128_at(&data, 144),
            media_errors: u128_at(&data, 160),
            error_log_entries: u128_at(&data, 176),
        })
    }

    /// What the drive itself is worried about, in words.
    pub(crate) fn warnings(&self) -> Vec<String> {
        (0..8u8)
            .filter(|bit| self.critical_warning & (1 << bit) != 0)
            .map(|bit| {
                WARNINGS
                    .get(usize::from(bit))
                    .map_or_else(|| format!("critical warning bit {bit}"), |text| (*text).to_owned())
            })
            .collect()
    }
}
