//! Block devices as the kernel offers them: opening (shared or exclusive), sizes, reads and writes of any alignment
//! on top of direct I/O, zeroing, discarding, partition rescans, and the few ioctls that other parts need
//! (permanent MAC address, immutable flag).
//!
//! This is the only crate of the workspace with `unsafe`. It knows no image format, no partition table and no
//! policy: it never chooses a device, and it does nothing to one but what its caller asks for.

mod buffer;
mod commands;
mod device;
mod error;
mod holders;
mod inode;
mod ioctl;
mod nic;
mod stat;

pub use buffer::AlignedBuf;
pub use commands::{CommandError, Drive, NvmeCommand, ScsiCommand, ScsiReply, Transfer};
pub use device::{Access, Device};
pub use error::Error;
pub use holders::{HeldBy, Holder, holders};
pub use inode::set_immutable;
pub use nic::interface_permanent_mac;
