//! Partition images (IPA contract §8.5): a new partition table around an image that is one file system. Everything is
//! written at offsets of the disk itself, beneath the [`Veil`](crate::veil::Veil), which decides alone when the disk
//! becomes bootable.

mod efi_files;
mod error;
mod ext4;
mod ext4_tree;
mod fat;
mod fat_dots;
mod furnish;
mod identity;
mod kept;
mod layout;
mod request;
mod swap;
#[cfg(test)]
mod tests;
mod window;

pub use error::LayoutError;
pub(crate) use fat::{Fat, FatNames};
pub(crate) use fat_dots::mend_folders;
pub use furnish::PartitionsMade;
pub(crate) use layout::Layout;
pub use layout::MadePartition;
pub use request::{Firmware, PartitionRequest, PartitionRole};
