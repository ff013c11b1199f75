//! Tacit's image builder: from a distribution's kernel package and the agent to media that a server boots.
//!
//! Owns the ramdisk (which modules, in which archive), the unified kernel image, the bootable ISO with its reserved
//! region, and the making of one node's medium by overlaying that region ([`media`]). Reads packages itself: nothing
//! is installed, mounted or run with privileges, and equal inputs give equal bytes. Refuses to know nodes, agents or
//! conductors: what it is told about a node is an opaque [`tacit_protocol::medium::NodeConfig`].

pub mod build;
pub mod cli;
pub mod cpio;
#[cfg(feature = "disks")]
pub mod disk_image;
pub mod elf;
pub mod error;
pub mod fat;
pub mod info;
pub mod initramfs;
pub mod iso;
pub mod kernel;
pub mod manifest;
pub mod media;
pub mod modules;
pub mod package;
pub mod pe;
pub mod profile;
pub mod programs;
pub mod region;
pub mod uki;
#[cfg(feature = "disks")]
pub mod write;

pub use error::ImageError;
pub use media::{MediaError, MediaTemplate, NodeMedium};
