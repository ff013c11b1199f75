use std::time::Duration;

use tacit_blockdev::Drive;

use super::admin::{self, IDENTIFY, bytes, u16_at, u32_at};
use crate::drives::fields::text;
use crate::drives::{DriveError, Sanitize};

const IDENTIFY_CONTROLLER: u8 = 0x01;
const ACTIVE_NAMESPACES: u8 = 0x02;
const ALLOCATED_NAMESPACES: u8 = 0x10;

/// Identify Controller (Base 2.1, 5.1.13.2.1), as far as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Controller {
    pub(super) vendor_id: u16,
    pub(super) serial_field: [u8; 20],
    pub(super) model_field: [u8; 40],
    pub(crate) serial: Option<String>,
    pub(crate) model: Option<String>,
    /// Revision of the firmware that runs.
    pub(crate) firmware: Option<String>,
    /// Bytes that one command can transfer; `None` without a limit.
    pub(crate) largest_transfer: Option<usize>,
    optional_admin: u16,
    optional_nvm: u16,
    firmware_updates: u8,
    firmware_granularity: u8,
    activation_time: u16,
    sanitize: u32,
    format: u8,
}

impl Controller {
    /// # Errors
    ///
    /// [`DriveError::Command`].
    pub(crate) fn read(drive: &dyn Drive) -> Result<Self, DriveError> {
        let data = admin::identify(drive, "Identify Controller", IDENTIFY_CONTROLLER, 0)?;
        Ok(Self::parse(&data))
    }

    fn parse(data: &[u8; IDENTIFY]) -> Self {
        // In units of the controller's smallest page, which is 4 KiB or more and is not told here.
        let largest_transfer = match data[77] {
            0 => None,
            exponent => 4096usize.checked_shl(exponent.into()).filter(|bytes| *bytes > 0),
        };
        Self {
            vendor_id: u16_at(data, 0),
            serial_field: bytes(data, 4),
            model_field: bytes(data, 24),
            serial: text(&data[4..24]),
            model: text(&data[24..64]),
            firmware: text(&data[64..72]),
            largest_transfer,
            optional_admin: u16_at(data, 256),
            optional_nvm: u16_at(data, 520),
            firmware_updates: data[260],
            firmware_granularity: data[319],
            activation_time: u16_at(data, 270),
            sanitize: u32_at(data, 328),
            format: data[524],
        }
    }

    /// SANICAP: the kinds of sanitize operation.
    pub(super) fn can_sanitize(&self, what: Sanitize) -> bool {
        let bit = match what {
            Sanitize::Crypto => 0,
            Sanitize::Block => 1,
            Sanitize::Overwrite(_) => 2,
        };
        self.sanitize & (1 << bit) != 0
    }

    /// SANICAP: any kind of sanitize operation, so that there is a log of it.
    pub(crate) fn sanitizes(&self) -> bool {
        self.sanitize & 7 != 0
    }

    /// OACS: Format NVM.
    pub(crate) fn can_format(&self) -> bool {
        self.optional_admin & (1 << 1) != 0
    }

    /// FNA: Format NVM can throw the key away.
    pub(crate) fn format_erases_key(&self) -> bool {
        self.format & (1 << 2) != 0
    }

    /// FNA: a format, or a secure erase by one, reaches all namespaces.
    pub(crate) fn format_reaches_all(&self) -> bool {
        self.format & 3 != 0
    }

    /// OACS: firmware can be downloaded and committed.
    pub(crate) fn can_update_firmware(&self) -> bool {
        self.optional_admin & (1 << 2) != 0
    }

    /// OACS: namespaces can be made and attached, so that some may belong to other controllers.
    fn manages_namespaces(&self) -> bool {
        self.optional_admin & (1 << 3) != 0
    }

    /// FRMW: slots for firmware, 1 to 7.
    pub(crate) fn firmware_slots(&self) -> u8 {
        (self.firmware_updates >> 1 & 7).max(1)
    }

    /// FRMW: slot 1 holds what came from the factory and keeps it.
    pub(crate) fn first_slot_is_read_only(&self) -> bool {
        self.firmware_updates & 1 != 0
    }

    /// FRMW: firmware can be activated without a reset.
    pub(crate) fn activates_without_reset(&self) -> bool {
        self.firmware_updates & (1 << 4) != 0
    }

    /// FWUG: bytes that the pieces of an image must be multiples of.
    pub(crate) fn firmware_piece(&self) -> usize {
        match self.firmware_granularity {
            // 0: not told. 4 KiB is what drives before this field wanted at most. 0xff: no restriction.
            0 | 0xff => 4096,
            granularity => usize::from(granularity) * 4096,
        }
    }

    /// MTFA: for how long the drive stops while it activates firmware.
    pub(crate) fn firmware_activation(&self) -> Duration {
        Duration::from_millis(u64::from(self.activation_time) * 100)
    }

    /// ONCS: Dataset Management, which deallocates.
    pub(crate) fn can_deallocate(&self) -> bool {
        self.optional_nvm & (1 << 2) != 0
    }
}

/// Numbers of the other namespaces of the drive, the first 1024: all that exist where it can have some that are not
/// attached to this controller (Base 2.1, 5.1.13.2.9), else those that are attached (5.1.13.2.2).
///
/// # Errors
///
/// [`DriveError::Command`].
pub(super) fn other_namespaces(drive: &dyn Drive, controller: &Controller) -> Result<Vec<u32>, DriveError> {
    let own = drive
        .nvme_namespace()
        .map_err(|source| DriveError::Command { command: "asking for the namespace", source })?;
    let structure = if controller.manages_namespaces() { ALLOCATED_NAMESPACES } else { ACTIVE_NAMESPACES };
    let data = admin::identify(drive, "Identify (list of namespaces)", structure, 0)?;
    let numbers = data.chunks_exact(4).map(|number| u32_at(number, 0));
    Ok(numbers.take_while(|number| *number != 0).filter(|number| *number != own).collect())
}

/// Refuses what would reach namespaces besides this one and `others`: those may belong to somebody, on another machine
/// that shares the drive, too.
///
/// # Errors
///
/// [`DriveError::Unusable`] where there are any, [`DriveError::Command`] where the drive does not tell.
pub(crate) fn alone(drive: &dyn Drive, what: &'static str, others: &[u32]) -> Result<(), DriveError> {
    let all = other_namespaces(drive, &Controller::read(drive)?)?.into_iter();
    let besides: Vec<String> =
        all.filter(|number| !others.contains(number)).map(|number| number.to_string()).collect();
    if besides.is_empty() {
        return Ok(());
    }
    let besides = besides.join(", ");
    Err(DriveError::Unusable { reason: format!("{what} would erase namespaces {besides} of the drive, too") })
}
