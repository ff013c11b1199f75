use std::ops::Range;

use crate::gpt::{Gpt, signature_at};
use crate::mbr::Mbr;
use crate::partition::{Partition, TableKind};

/// Sector sizes that images are made for.
const SECTORS: [u32; 2] = [512, 4096];

/// Why the partition table of an image cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("the image has no partitions (it is damaged, or made for another sector size)")]
    NoPartitions,
    #[error("the image is made for sectors of {image} bytes, the disk has sectors of {disk}")]
    SectorSize { image: u32, disk: u32 },
    #[error("the image's GPT is invalid: {what}")]
    Damaged { what: &'static str },
    #[error("the image's partition table reaches to block {end_lba}, the disk has {disk_blocks} blocks")]
    BeyondDisk { end_lba: u64, disk_blocks: u64 },
}

/// The partition table of an image that is on its way to a disk.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    pub(crate) mbr: Option<Mbr>,
    pub(crate) gpt: Option<Gpt>,
}

impl Table {
    /// Checks what the first bytes of an image (up to a MiB) say against the disk that it shall go to.
    pub(crate) fn inspect(head: &[u8], sector: u32, disk_blocks: u64) -> Result<Self, TableError> {
        let mbr = Mbr::parse(head);
        if signature_at(head, sector.into()) {
            let gpt = Gpt::parse(head, sector)?;
            if !mbr.as_ref().is_some_and(Mbr::is_protective) {
                return Err(TableError::Damaged { what: "there is no protective MBR" });
            }
            if gpt.backup_lba() >= disk_blocks {
                return Err(TableError::BeyondDisk {
                    end_lba: gpt.backup_lba().saturating_add(1),
                    disk_blocks,
                });
            }
            gpt.clone().relocate(disk_blocks)?;
            if gpt.partitions().is_empty() {
                return Err(TableError::NoPartitions);
            }
            return Ok(Self { mbr, gpt: Some(gpt) });
        }
        if let Some(image) = SECTORS.into_iter().find(|&size| signature_at(head, size.into())) {
            return Err(TableError::SectorSize { image, disk: sector });
        }
        let mbr = mbr.ok_or(TableError::NoPartitions)?;
        if mbr.is_protective() {
            return Err(TableError::Damaged { what: "there is a protective MBR and no header" });
        }
        let end_lba = mbr.partitions().iter().map(Partition::end_lba).max().unwrap_or(0);
        if end_lba > disk_blocks {
            return Err(TableError::BeyondDisk { end_lba, disk_blocks });
        }
        Ok(Self { mbr: Some(mbr), gpt: None })
    }

    pub(crate) fn kind(&self) -> TableKind {
        if self.gpt.is_some() { TableKind::Gpt } else { TableKind::Dos }
    }

    pub(crate) fn partitions(&self) -> Vec<Partition> {
        match (&self.gpt, &self.mbr) {
            (Some(gpt), _) => gpt.partitions(),
            (None, Some(mbr)) => mbr.partitions(),
            (None, None) => Vec::new(),
        }
    }

    /// Bytes where the image itself puts its backup table.
    pub(crate) fn backup_bytes(&self, sector: u32) -> Option<Range<u64>> {
        let blocks = self.gpt.as_ref()?.backup_blocks();
        let sector = u64::from(sector);
        // `inspect` checked that these lie on the disk.
        Some(blocks.start() * sector..(blocks.end() + 1) * sector)
    }

    /// Fits the table to the disk: the GPT's backup at its end, the protective partition over all of it.
    pub(crate) fn fit(&mut self, disk_blocks: u64) -> Result<(), TableError> {
        if let Some(gpt) = &mut self.gpt {
            gpt.relocate(disk_blocks)?;
            if let Some(mbr) = &mut self.mbr {
                mbr.protect(disk_blocks);
            }
        }
        Ok(())
    }

    /// What must be written where, in bytes of the disk.
    pub(crate) fn pieces(&self) -> Vec<(u64, Vec<u8>)> {
        let mut pieces = self.gpt.as_ref().map(|gpt| gpt.pieces().to_vec()).unwrap_or_default();
        pieces.extend(self.mbr.as_ref().map(|mbr| (0, mbr.bytes().to_vec())));
        pieces
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    const BLOCKS: u64 = 8192;

    fn head() -> Vec<u8> {
        let mut disk = Cursor::new(vec![0; 512 * BLOCKS as usize]);
        let mut gpt = gptman::GPT::new_from(&mut disk, 512, [7; 16]).unwrap();
        for number in 1..4 {
            gpt[number] = gptman::GPTPartitionEntry {
                partition_type_guid: [0x55; 16],
                unique_partition_guid: [number as u8; 16],
                starting_lba: u64::from(number) * 2048 - 1024,
                ending_lba: u64::from(number) * 2048,
                attribute_bits: 0,
                partition_name: "some".into(),
            };
        }
        gpt.write_into(&mut disk).unwrap();
        gptman::GPT::write_protective_mbr_into(&mut disk, 512).unwrap();
        disk.into_inner()[..1 << 20].to_vec()
    }

    /// Makes the checksums right again, so that what was changed is looked at.
    fn seal(head: &mut [u8]) {
        let crc = |bytes: &[u8]| {
            let mut crc = flate2::Crc::new();
            crc.update(bytes);
            crc.sum().to_le_bytes()
        };
        let field = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let start = field(512 + 72).saturating_mul(512);
        let entries = field(512 + 80);
        let len = (entries & 0xffff_ffff).saturating_mul(entries >> 32);
        if let Some(array) = start
            .checked_add(len)
            .and_then(|end| head.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?))
        {
            let sum = crc(array);
            head[512 + 88..512 + 92].copy_from_slice(&sum);
        }
        let size = (u32::from_le_bytes(head[524..528].try_into().unwrap()) as usize).clamp(92, 512);
        head[528..532].fill(0);
        let sum = crc(&head[512..512 + size]);
        head[528..532].copy_from_slice(&sum);
    }

    fn number() -> impl Strategy<Value = u64> {
        prop_oneof![0..4u64, BLOCKS - 40..BLOCKS + 3, any::<u64>(), u64::MAX - 2..=u64::MAX, 0..BLOCKS]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn tables_with_valid_checksums_and_wild_numbers_are_refused_or_fit(
            changes in prop::collection::vec((prop_oneof![
                // Header: numbers of 64 bits, sizes; entries; protective partition.
                Just(512 + 12), Just(512 + 24), Just(512 + 32), Just(512 + 40), Just(512 + 48), Just(512 + 72),
                Just(512 + 80), Just(512 + 84),
                Just(1024 + 32), Just(1024 + 40), Just(1152 + 32), Just(1152 + 40), Just(454usize),
            ], number()), 1..4),
        ) {
            let mut head = head();
            for (at, value) in changes {
                let len = if at == 512 + 12 || at == 512 + 84 { 4 } else { 8 };
                head[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
            }
            seal(&mut head);
            if let Ok(mut table) = Table::inspect(&head, 512, BLOCKS) {
                let held = table.backup_bytes(512);
                table.fit(BLOCKS).unwrap();
                let place = table.gpt.as_ref().and_then(|gpt| gpt.last_place(100, 16));
                for partition in table.partitions() {
                    prop_assert!(partition.start_lba > 1 && partition.end_lba() <= BLOCKS);
                    if let Some(held) = &held {
                        prop_assert!(held.end <= 512 * BLOCKS);
                        prop_assert!(held.start >= 512 * partition.end_lba());
                    }
                    if let Some(start) = place {
                        prop_assert!(start + 100 <= partition.start_lba || start >= partition.end_lba());
                    }
                }
                for (offset, bytes) in table.pieces() {
                    prop_assert!(offset + bytes.len() as u64 <= 512 * BLOCKS);
                }
            }
        }

        #[test]
        fn no_bytes_make_it_panic(mut head: Vec<u8>, signature: bool) {
            head.resize(head.len().max(600), 0);
            if signature {
                head[510..512].copy_from_slice(&[0x55, 0xaa]);
                head[512..520].copy_from_slice(b"EFI PART");
            }
            drop(Table::inspect(&head, 512, BLOCKS));
        }
    }
}
