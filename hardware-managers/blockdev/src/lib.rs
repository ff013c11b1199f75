//! Block devices as the kernel offers them: opening (shared or exclusive), sizes, reads and writes of any alignment
//! on top of direct I/O, zeroing, discarding, partition rescans, and the few ioctls that other parts need
//! (network adapters, the management controller, the immutable flag); a way to hear, never to send, raw frames; and
//! the bounds of child processes.
//!
//! `unsafe` is here and, for one digest's machine code, in `tacit-digest`; nowhere else. This crate knows no image
//! format, no partition table and no policy: it never chooses a device, and it does nothing to one but what its caller
//! asks for.

mod buffer;
mod busy;
mod commands;
mod confine;
mod device;
mod dm;
mod error;
mod holders;
mod inode;
mod ioctl;
mod ipmi;
mod link_modes;
mod listener;
mod md;
mod mounts;
mod nic;
mod stat;
mod swap;

pub use buffer::AlignedBuf;
pub use commands::{CommandError, Drive, NvmeCommand, ScsiCommand, ScsiReply, Transfer};
pub use confine::{Confinement, confine, isolate};
pub use device::{Access, Device};
pub use dm::remove_mapped_device;
pub use error::Error;
pub use holders::{HeldBy, Holder, holders};
pub use inode::set_immutable;
pub use ipmi::{Ipmi, IpmiDevice, IpmiError, IpmiRequest};
pub use listener::FrameListener;
pub use md::stop_array;
pub use mounts::{Mount, mounts, swaps};
pub use nic::{interface_firmware, interface_max_speed_mbps, interface_permanent_mac};
pub use swap::swap_off;
