//! The last steps: a verified image becomes a disk that boots.

use crate::error::Failure;
use crate::partition::Partition;
use crate::partitioned::PartitionsMade;
use crate::place::{PlaceError, place};
use crate::pool::BLOCK;
use crate::prepare::{Arrangement, Writer};
use crate::progress::Reporter;
use crate::request::Verify;
use crate::table::Table;
use crate::veil::Veil;

/// What is on the disk.
pub(crate) struct Revealed {
    pub(crate) table: Table,
    pub(crate) config_drive: Option<Partition>,
    pub(crate) made: Option<PartitionsMade>,
}

impl Writer<'_> {
    /// Makes the image whole: table, config drive, and the areas held back.
    pub(crate) fn reveal(
        &self,
        url: &str,
        arrangement: &mut Arrangement,
        image_bytes: u64,
        veil: &Veil<'_>,
        reporter: &Reporter<'_>,
    ) -> Result<Revealed, Failure> {
        let revealed = match arrangement {
            Arrangement::Whole(table) => self.complete_whole(url, table, veil)?,
            Arrangement::Partition(layout) => {
                let made = layout.finish(veil, image_bytes).map_err(self.cannot_lay_out())?;
                let config_drive = layout.config_drive();
                Revealed { table: layout.table().clone(), config_drive, made: Some(made) }
            }
        };
        for (offset, bytes) in revealed.table.pieces() {
            veil.write(offset, &bytes).map_err(self.failed("revealing the image"))?;
        }
        // The last moment: from here on the disk becomes bootable.
        if reporter.cancelled() {
            return Err(reporter.cancelled_failure());
        }
        veil.lift().map_err(self.failed("revealing the image"))?;
        match veil.first_difference().map_err(self.failed("reading back what was revealed"))? {
            Some(offset) => Err(Failure::ReadBack { device: self.device.clone(), offset }),
            None => Ok(revealed),
        }
    }

    fn complete_whole(&self, url: &str, table: &Table, veil: &Veil<'_>) -> Result<Revealed, Failure> {
        // The image's own backup table is dead once there is one at the end of the disk.
        if let Some(old) = table.backup_bytes(self.sector) {
            veil.zero(old.start, old.end - old.start).map_err(self.failed("revealing the image"))?;
        }
        let mut table = table.clone();
        table.fit(self.blocks()).map_err(|source| Failure::Table {
            url: url.to_owned(),
            device: self.device.clone(),
            source,
        })?;
        let config_drive = match &self.config_drive {
            None => None,
            Some(drive) => {
                let partition = place(drive, &mut table, veil, self.sector.into(), self.blocks());
                let partition = partition.map_err(|error| match error {
                    PlaceError::Drive(source) => self.no_config_drive()(source),
                    PlaceError::Disk(source) => self.failed("writing the config drive")(source),
                })?;
                if self.verify == Verify::Full {
                    self.read_back_drive(drive, partition.start_lba * u64::from(self.sector), veil)?;
                }
                Some(partition)
            }
        };
        Ok(Revealed { table, config_drive, made: None })
    }

    fn read_back_drive(&self, drive: &[u8], start: u64, veil: &Veil<'_>) -> Result<(), Failure> {
        veil.flush().map_err(self.failed("flushing"))?;
        let mut found = vec![0; drive.len().min(BLOCK)];
        for (offset, written) in (start..).step_by(BLOCK).zip(drive.chunks(BLOCK)) {
            let found = &mut found[..written.len()];
            veil.read(offset, found).map_err(self.failed("reading back the config drive"))?;
            if found != written {
                return Err(Failure::ReadBack { device: self.device.clone(), offset });
            }
        }
        Ok(())
    }
}
