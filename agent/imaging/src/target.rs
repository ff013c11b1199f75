use std::error::Error;

use tacit_blockdev::Device;

/// Whatever a target's own error is; it names the device and the offset.
pub type TargetError = Box<dyn Error + Send + Sync>;

/// What an image is written onto. Every method may be called with any alignment.
pub trait Target: Send + Sync {
    /// Path or name for messages.
    fn describe(&self) -> String;
    fn size_bytes(&self) -> u64;
    /// Logical sector size in bytes.
    fn logical_sector(&self) -> u32;
    /// # Errors
    ///
    /// When not all of `buf` could be filled.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError>;
    /// # Errors
    ///
    /// When not all of `buf` could be written.
    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError>;
    /// Makes a range read as zeros.
    ///
    /// # Errors
    ///
    /// When part of it may read otherwise.
    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError>;
    /// Makes a range that the image declares as a hole read as zeros; the device may give its blocks back.
    ///
    /// # Errors
    ///
    /// When part of it may read otherwise.
    fn deallocate(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        self.zero(offset, len)
    }
    /// Waits until everything is on stable storage.
    ///
    /// # Errors
    ///
    /// When some of it may not be.
    fn flush(&self) -> Result<(), TargetError>;
    /// Has the kernel look at the partition table again.
    ///
    /// # Errors
    ///
    /// When the kernel keeps its old view.
    fn reread_partition_table(&self) -> Result<(), TargetError>;
}

impl Target for Device {
    fn describe(&self) -> String {
        self.path().display().to_string()
    }

    fn size_bytes(&self) -> u64 {
        Device::size_bytes(self)
    }

    fn logical_sector(&self) -> u32 {
        Device::logical_sector(self)
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), TargetError> {
        Ok(Device::read_at(self, offset, buf)?)
    }

    fn write_at(&self, offset: u64, buf: &[u8]) -> Result<(), TargetError> {
        Ok(Device::write_at(self, offset, buf)?)
    }

    fn zero(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        Ok(Device::zero(self, offset, len)?)
    }

    fn deallocate(&self, offset: u64, len: u64) -> Result<(), TargetError> {
        Ok(Device::deallocate(self, offset, len)?)
    }

    fn flush(&self) -> Result<(), TargetError> {
        Ok(Device::flush(self)?)
    }

    fn reread_partition_table(&self) -> Result<(), TargetError> {
        Ok(Device::reread_partition_table(self)?)
    }
}
