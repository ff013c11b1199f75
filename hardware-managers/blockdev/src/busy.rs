use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use crate::error::Error;

/// How often and how far apart a request is made again while something has the device open: udev and blkid do so for
/// moments at a time.
const TRIES: u32 = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// Makes a request until it is not refused as busy, two seconds at most.
pub(crate) fn retry_while_busy(
    device: &Path,
    request: &'static str,
    mut attempt: impl FnMut() -> io::Result<()>,
) -> Result<(), Error> {
    let mut left = TRIES;
    loop {
        let source = match attempt() {
            Ok(()) => return Ok(()),
            Err(source) => source,
        };
        match source.raw_os_error() {
            Some(libc::EBUSY) if left == 0 => {
                return Err(Error::InUse { device: device.to_owned(), source });
            }
            Some(libc::EBUSY | libc::EINTR) => {
                left = left.saturating_sub(1);
                thread::sleep(PAUSE);
            }
            _ => return Err(Error::Ioctl { device: device.to_owned(), request, source }),
        }
    }
}
