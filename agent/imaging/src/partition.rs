use std::fmt;

/// Kind of a partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// GUID partition table (UEFI 2.10 §5.3).
    Gpt,
    /// Master boot record (UEFI 2.10 §5.2.1).
    Dos,
}

impl TableKind {
    /// `gpt` or `dos`, as `lsblk` calls them.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::Dos => "dos",
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A partition as its table describes it. Blocks are logical sectors of the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// As the kernel counts: from 1, the slot in the table.
    pub number: u32,
    /// GPT: type GUID, lower case.
    pub type_guid: Option<String>,
    /// MBR: type.
    pub type_byte: Option<u8>,
    /// GPT: the partition's own GUID, lower case (PARTUUID).
    pub guid: Option<String>,
    /// GPT: name (PARTLABEL).
    pub name: Option<String>,
    pub start_lba: u64,
    pub size_lba: u64,
}

impl Partition {
    /// One past the last block.
    pub(crate) fn end_lba(&self) -> u64 {
        self.start_lba.saturating_add(self.size_lba)
    }
}
