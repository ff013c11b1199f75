use super::{CommandError, NvmeCommand, ScsiCommand, ScsiReply, Transfer, nvme, opal, scsi};
use crate::device::Device;
use crate::error::Error;

/// A disk as erasing sees it: its content, and the commands of its own protocol. [`Device`] is the real one; tests
/// have others that freeze, lie, hang or vanish.
pub trait Drive: Send + Sync {
    fn size_bytes(&self) -> u64;

    /// Bytes.
    fn logical_sector(&self) -> u32;

    fn is_read_only(&self) -> bool;

    /// Fills `buf` from `offset` on, past every cache of this machine.
    ///
    /// # Errors
    ///
    /// As [`Device::read_at`].
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error>;

    /// # Errors
    ///
    /// As [`Device::write_at`].
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error>;

    /// Tells the device that it may forget a range; promises nothing.
    ///
    /// # Errors
    ///
    /// As [`Device::discard`].
    fn discard(&self, offset: u64, len: u64) -> Result<(), Error>;

    /// # Errors
    ///
    /// As [`Device::flush`].
    fn flush(&self) -> Result<(), Error>;

    /// Sends an NVMe admin command and waits for it; the result is dword 0 of the completion.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; a status other than success is [`CommandError::Nvme`].
    fn nvme(&self, command: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError>;

    /// Sends a command of the I/O queues that only asks; otherwise as [`nvme`](Self::nvme).
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    fn nvme_io(&self, _: &NvmeCommand, _: Transfer<'_>) -> Result<u32, CommandError> {
        Err(CommandError::NoPassThrough)
    }

    /// Number of the namespace that this is, for the commands that name one.
    ///
    /// # Errors
    ///
    /// [`CommandError::NoPassThrough`] where this is none.
    fn nvme_namespace(&self) -> Result<u32, CommandError> {
        Err(CommandError::NoPassThrough)
    }

    /// Sends a SCSI command and waits for it. ATA commands travel inside ATA PASS-THROUGH (16) (SAT-5, 12.2.2).
    ///
    /// # Errors
    ///
    /// [`CommandError`] when the command did not reach the drive; a check condition is an `Ok` with sense data.
    fn scsi(&self, command: &ScsiCommand<'_>, data: Transfer<'_>) -> Result<ScsiReply, CommandError>;

    /// Reverts a TCG Opal drive to its state of manufacture with the PSID that is printed on its label.
    ///
    /// # Errors
    ///
    /// [`CommandError`]; a method status other than success is [`CommandError::Opal`].
    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError>;
}

impl Drive for Device {
    fn size_bytes(&self) -> u64 {
        self.size_bytes()
    }

    fn logical_sector(&self) -> u32 {
        self.logical_sector()
    }

    fn is_read_only(&self) -> bool {
        self.is_read_only()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), Error> {
        self.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), Error> {
        self.write_at(offset, buf)
    }

    fn discard(&self, offset: u64, len: u64) -> Result<(), Error> {
        self.discard(offset, len)
    }

    fn flush(&self) -> Result<(), Error> {
        self.flush()
    }

    fn nvme(&self, command: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError> {
        nvme::send(&self.file, nvme::Queue::Admin, command, data)
    }

    fn nvme_io(&self, command: &NvmeCommand, data: Transfer<'_>) -> Result<u32, CommandError> {
        nvme::send(&self.file, nvme::Queue::Io, command, data)
    }

    fn nvme_namespace(&self) -> Result<u32, CommandError> {
        nvme::namespace(&self.file)
    }

    fn scsi(&self, command: &ScsiCommand<'_>, data: Transfer<'_>) -> Result<ScsiReply, CommandError> {
        scsi::send(&self.file, command, data)
    }

    fn opal_revert_by_psid(&self, psid: &str) -> Result<(), CommandError> {
        opal::revert_by_psid(&self.file, psid)
    }
}
