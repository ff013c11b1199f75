//! Drivers of file systems. No device asks for them: whoever mounts does, and the kernel would hand that on to a program
//! that a ramdisk does not have.

use super::modules::{Loader, read_manifest};

/// What systems are installed on, and the character sets without which FAT does not mount.
const MODULES: [&str; 6] = ["ext4", "xfs", "btrfs", "nls_cp437", "nls_ascii", "vfat"];

/// Loads those that this ramdisk brings; elsewhere the system sees to it.
pub(crate) fn load_file_systems() {
    let Ok(manifest) = read_manifest() else { return };
    let is_there = |name: &&str| manifest.modules.iter().any(|module| module.name == *name);
    let wanted: Vec<&str> = MODULES.into_iter().filter(is_there).collect();
    let mut loader = Loader::new(manifest);
    for name in wanted {
        loader.load_named(name);
    }
}
