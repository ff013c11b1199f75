use std::thread;
use std::time::Duration;

use super::Device;
use crate::error::Error;
use crate::ioctl;

/// How often and how far apart a busy partition rescan is tried again: udev opens a disk for moments at a time.
const RESCANS: u32 = 20;
const RESCAN_PAUSE: Duration = Duration::from_millis(100);

impl Device {
    /// Has the kernel read the partition table again. Does nothing for files and for devices that have no
    /// partitions in the kernel's view.
    ///
    /// # Errors
    ///
    /// [`Error::InUse`] when a partition stays busy for two seconds, [`Error::Ioctl`].
    pub fn reread_partition_table(&self) -> Result<(), Error> {
        if !self.block_device {
            return Ok(());
        }
        let mut left = RESCANS;
        loop {
            let source = match ioctl::reread_partition_table(&self.file) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match source.raw_os_error() {
                Some(libc::EINVAL | libc::ENOTTY | libc::EOPNOTSUPP) => return Ok(()),
                Some(libc::EBUSY) if left == 0 => {
                    return Err(Error::InUse { device: self.path.clone(), source });
                }
                Some(libc::EBUSY | libc::EINTR) => {
                    left = left.saturating_sub(1);
                    thread::sleep(RESCAN_PAUSE);
                }
                _ => {
                    return Err(Error::Ioctl { device: self.path.clone(), request: "BLKRRPART", source });
                }
            }
        }
    }
}
