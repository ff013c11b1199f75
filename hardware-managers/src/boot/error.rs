use std::io;

/// Why no boot entry was made. Class names and codes are those of the IPA contract §1.7.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootEntryError {
    #[error("{disk} is not among the disks of this machine")]
    UnknownDisk { disk: String },
    #[error("{disk} has no EFI system partition{}", wanted.as_ref().map(|guid| format!(" {guid}")).unwrap_or_default())]
    NoSystemPartition { disk: String, wanted: Option<String> },
    #[error("cannot read partitions of {disk}")]
    Disk { disk: String, source: tacit_blockdev::Error },
    #[error("cannot read the EFI system partition (number {partition}) of {disk}")]
    FileSystem { disk: String, partition: u32, source: io::Error },
    #[error("cannot {action} the firmware variable {variable}")]
    Variable { action: &'static str, variable: String, source: io::Error },
    #[error("all 65536 boot entry numbers are taken")]
    NoFreeNumber,
    #[error("the firmware did not keep {variable} as it was written")]
    NotKept { variable: String },
    #[error("the firmware did not remove {variable}")]
    StillThere { variable: String },
    /// The system is on software RAID, and its disks got no EFI system partition of their own.
    #[error("no copies of the EFI system partition of {disk}: {problem}")]
    Replicas { disk: String, problem: String },
    /// Deleted variables may hold their place until the next start of the machine.
    #[error(
        "the firmware's memory is full: {variable} cannot be written; removing entries and restarting may help"
    )]
    Full { variable: String, source: io::Error },
}

impl BootEntryError {
    pub fn class(&self) -> &'static str {
        match self {
            Self::UnknownDisk { .. } | Self::NoSystemPartition { .. } => "DeviceNotFound",
            Self::Disk { .. } => "BlockDeviceError",
            _ => "CommandExecutionError",
        }
    }

    pub fn code(&self) -> u16 {
        match self {
            Self::UnknownDisk { .. } | Self::NoSystemPartition { .. } => 404,
            _ => 500,
        }
    }

    /// The fixed sentence that belongs to the class.
    pub fn message(&self) -> &'static str {
        match self.class() {
            "DeviceNotFound" => "Error finding the disk or partition device to deploy the image onto",
            "BlockDeviceError" => "Block device caused unknown error",
            _ => "Command execution failed",
        }
    }

    /// Whether the same request may succeed when it is sent again. The disk is never written to.
    pub fn retry(&self) -> bool {
        matches!(
            self,
            Self::Disk { .. }
                | Self::FileSystem { .. }
                | Self::Variable { .. }
                | Self::NotKept { .. }
                | Self::StillThere { .. }
                | Self::Full { .. }
        )
    }
}
