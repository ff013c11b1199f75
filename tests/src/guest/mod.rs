//! A virtual server without a network whose first process does as it is told from outside: for what only a kernel with
//! device-mapper, md, SCSI, NVMe and disks that break can show. It starts in seconds, and what it does to its disks is
//! judged on their backing files.

mod disks;
mod monitor;
mod ramdisk;
mod server;
mod shell;

pub use disks::{Disk, Fault};
pub use monitor::Monitor;
pub use ramdisk::{Ramdisk, find_tool, kernel, run};
pub use server::{Firmware, Guest};
pub use shell::Answer;
