use std::io;

/// Why a command of a drive's protocol had no success.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The kernel's driver for this device takes no commands from outside.
    #[error("the kernel passes no such commands to this device")]
    NoPassThrough,
    /// NVMe status: code type and code (NVMe Base 2.1, 4.2.3).
    #[error("the drive answered with NVMe status {code_type:#x}/{code:#04x}")]
    Nvme { code_type: u8, code: u8, do_not_retry: bool },
    /// TCG method status (TCG Storage Core 2.01, 5.1.5).
    #[error("the drive answered with TCG status {status:#x}")]
    Opal { status: i32 },
    #[error("the drive did not answer in time")]
    TimedOut,
    /// The device is gone, or the path to it.
    #[error("the command did not reach the drive")]
    Transport { source: io::Error },
}
