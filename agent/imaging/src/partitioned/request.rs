use std::fmt;

use crate::partition::TableKind;

/// What the node's firmware starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Firmware {
    /// Gets an EFI system partition.
    Uefi,
    /// Gets a BIOS boot partition in a GPT, an active root partition in an MBR.
    Bios,
}

/// The partitions that a partition image is installed with (IPA contract §2.2, §8.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRequest {
    pub label: TableKind,
    pub firmware: Firmware,
    /// Size of the root partition in MiB; at least as large as the image.
    pub root_mib: u64,
    /// Size of the swap partition in MiB; 0 for none.
    pub swap_mib: u64,
    /// Size of the ephemeral partition in MiB; 0 for none.
    pub ephemeral_mib: u64,
    /// `ext4` (also when absent or empty) or `vfat`.
    pub ephemeral_format: Option<String>,
    /// The ephemeral partition is there already, exactly where it would be made, and its content stays.
    pub preserve_ephemeral: bool,
}

/// What a partition is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartitionRole {
    Esp,
    BiosBoot,
    Ephemeral,
    Swap,
    ConfigDrive,
    Root,
}

impl PartitionRole {
    /// As IPA calls it in its answer to `prepare_image`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Esp => "efi system partition",
            Self::BiosBoot => "BIOS Boot partition",
            Self::Ephemeral => "ephemeral",
            Self::Swap => "swap",
            Self::ConfigDrive => "configdrive",
            Self::Root => "root",
        }
    }
}

impl fmt::Display for PartitionRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the ephemeral partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EphemeralFormat {
    Ext4,
    Vfat,
}

impl EphemeralFormat {
    pub(super) fn parse(name: Option<&str>) -> Option<Self> {
        match name.unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "" | "ext4" => Some(Self::Ext4),
            "vfat" | "fat32" => Some(Self::Vfat),
            _ => None,
        }
    }
}
