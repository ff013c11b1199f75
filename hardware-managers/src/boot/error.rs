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
    /// No entry would help: there is nothing that the firmware could start.
    #[error(
        "the EFI system partition (number {partition}) of {disk} has no boot loader for this machine's processor: it \
         would not start"
    )]
    NoLoader { disk: String, partition: u32 },
    /// Without entries firmware starts one file, and it is not there.
    #[error(
        "{refusal}, and the EFI system partition of {disk} has no file that firmware starts without an entry"
    )]
    NoFallback { disk: String, refusal: &'static str },
    /// What was begun on the disks of an array.
    #[error("copies of the EFI system partition of {disk} were begun and may be incomplete")]
    Begun { disk: String, source: Box<BootEntryError> },
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
            Self::NoLoader { .. } => "InvalidImage",
            Self::Begun { source, .. } => source.class(),
            _ => "CommandExecutionError",
        }
    }

    pub fn code(&self) -> u16 {
        match self {
            Self::UnknownDisk { .. } | Self::NoSystemPartition { .. } => 404,
            Self::Begun { source, .. } => source.code(),
            _ => 500,
        }
    }

    /// The fixed sentence that belongs to the class.
    pub fn message(&self) -> &'static str {
        match self.class() {
            "DeviceNotFound" => "Error finding the disk or partition device to deploy the image onto",
            "BlockDeviceError" => "Block device caused unknown error",
            "InvalidImage" => "The provided image is not valid for use",
            _ => "Command execution failed",
        }
    }

    /// Whether the same request may succeed when it is sent again.
    pub fn retry(&self) -> bool {
        match self {
            Self::Disk { .. }
            | Self::FileSystem { .. }
            | Self::Variable { .. }
            | Self::NotKept { .. }
            | Self::StillThere { .. }
            | Self::Full { .. } => true,
            Self::Begun { source, .. } => source.retry(),
            Self::UnknownDisk { .. }
            | Self::NoSystemPartition { .. }
            | Self::NoFreeNumber
            | Self::Replicas { .. }
            | Self::NoLoader { .. }
            | Self::NoFallback { .. } => false,
        }
    }

    /// Whether disks may have been written to: those of an array, which get copies of its EFI system partition. Any
    /// other disk is only read.
    pub fn touched(&self) -> bool {
        matches!(self, Self::Begun { .. })
    }
}
