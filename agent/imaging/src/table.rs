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
                return Err(TableError::BeyondDisk { end_lba: gpt.backup_lba() + 1, disk_blocks });
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
