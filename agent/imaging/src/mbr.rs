//! Master boot records in memory (UEFI 2.10 §5.2).

use crate::partition::Partition;

const SLOTS: usize = 4;
const PROTECTIVE: u8 = 0xee;
const ACTIVE: u8 = 0x80;
/// Linux.
const LINUX: u8 = 0x83;
/// Cylinder, head and sector beyond what these fields can say.
const CHS_BEYOND: [u8; 3] = [0xfe, 0xff, 0xff];

/// The first 512 bytes of a disk that has at least one valid partition.
#[derive(Clone, Debug)]
pub(crate) struct Mbr([u8; 512]);

impl Mbr {
    /// `None` unless it is a boot record with a partition in it. A FAT file system begins with the same signature.
    pub(crate) fn parse(head: &[u8]) -> Option<Self> {
        let block: [u8; 512] = *head.first_chunk()?;
        if block[510..] != [0x55, 0xaa] {
            return None;
        }
        let fat = matches!(block[0], 0xeb | 0xe9) && (&block[54..57] == b"FAT" || &block[82..85] == b"FAT");
        let mbr = Self(block);
        let valid_flags = (0..SLOTS).all(|slot| matches!(mbr.slot(slot)[0], 0x00 | 0x80));
        (!fat && valid_flags && !mbr.partitions().is_empty()).then_some(mbr)
    }

    /// A boot record without partitions and boot code.
    pub(crate) fn empty(signature: u32) -> Self {
        let mut block = [0; 512];
        block[440..444].copy_from_slice(&signature.to_le_bytes());
        block[510..].copy_from_slice(&[0x55, 0xaa]);
        Self(block)
    }

    /// The boot record before a GPT (UEFI 2.10 §5.2.3) on a disk of so many blocks.
    pub(crate) fn protective(disk_blocks: u64) -> Self {
        let mut mbr = Self::empty(0);
        let size = u32::try_from(disk_blocks.saturating_sub(1)).unwrap_or(u32::MAX);
        mbr.add_typed(PROTECTIVE, false, 1, size).expect("an empty boot record has a free slot");
        // Cylinder 0, head 0, sector 2: the specification wants exactly that, and other tools look at it.
        mbr.0[447..450].copy_from_slice(&[0, 2, 0]);
        mbr.0[451..454].copy_from_slice(&[0xff; 3]);
        mbr
    }

    fn slot(&self, index: usize) -> &[u8] {
        &self.0[446 + 16 * index..462 + 16 * index]
    }

    pub(crate) fn bytes(&self) -> &[u8; 512] {
        &self.0
    }

    /// `NT` disk signature; zero where the image has none.
    pub(crate) fn signature(&self) -> u32 {
        u32::from_le_bytes(self.0[440..444].try_into().expect("four bytes"))
    }

    pub(crate) fn is_protective(&self) -> bool {
        self.partitions().iter().any(|partition| partition.type_byte == Some(PROTECTIVE))
    }

    /// The primary partitions, extended ones included as they are.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        let field =
            |slot: &[u8], at: usize| u32::from_le_bytes(slot[at..at + 4].try_into().expect("four bytes"));
        (0..SLOTS)
            .map(|index| (index as u32 + 1, self.slot(index)))
            .filter(|(_, slot)| slot[4] != 0 && field(slot, 12) != 0)
            .map(|(number, slot)| Partition {
                number,
                type_guid: None,
                type_byte: Some(slot[4]),
                guid: None,
                name: None,
                start_lba: u64::from(field(slot, 8)),
                size_lba: u64::from(field(slot, 12)),
            })
            .collect()
    }

    /// Stretches the protective partition over the whole disk.
    pub(crate) fn protect(&mut self, disk_blocks: u64) {
        for partition in self.partitions() {
            if partition.type_byte == Some(PROTECTIVE) {
                let size = u32::try_from(disk_blocks.saturating_sub(partition.start_lba)).unwrap_or(u32::MAX);
                let at = 446 + 16 * (partition.number as usize - 1) + 12;
                self.0[at..at + 4].copy_from_slice(&size.to_le_bytes());
            }
        }
    }

    /// Adds a Linux partition in the first free slot. `None` when all are taken.
    pub(crate) fn add(&mut self, start_lba: u32, size_lba: u32) -> Option<Partition> {
        self.add_typed(LINUX, false, start_lba, size_lba)
    }

    /// Adds a partition in the first free slot. `None` when all are taken.
    pub(crate) fn add_typed(
        &mut self,
        kind: u8,
        active: bool,
        start_lba: u32,
        size_lba: u32,
    ) -> Option<Partition> {
        let used = self.partitions();
        let number = (1..=SLOTS as u32).find(|&number| used.iter().all(|used| used.number != number))?;
        let at = 446 + 16 * (number as usize - 1);
        let slot = &mut self.0[at..at + 16];
        slot.fill(0);
        slot[0] = if active { ACTIVE } else { 0 };
        slot[1..4].copy_from_slice(&CHS_BEYOND);
        slot[4] = kind;
        slot[5..8].copy_from_slice(&CHS_BEYOND);
        slot[8..12].copy_from_slice(&start_lba.to_le_bytes());
        slot[12..16].copy_from_slice(&size_lba.to_le_bytes());
        self.partitions().into_iter().find(|partition| partition.number == number)
    }
}
